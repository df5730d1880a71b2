#!/bin/bash
# Both ends of a range are included, and the rule for leap years had two conditions mixed up.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "daterange.py",
    '''\
    return year % 4 == 0 and (year % 100 == 0 or year % 400 == 0)
''',
    '''\
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
''',
)
replace(
    "daterange.py",
    '''\
        return ordinal(self.last) - ordinal(self.first)
''',
    '''\
        return ordinal(self.last) - ordinal(self.first) + 1
''',
)
EOF
