#!/bin/bash
# The last run has to be written as well, and a pair may count up to 255.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "rle.py",
    '''\
        found.append((len(data) - start - 1, data[start]))
''',
    '''\
        found.append((len(data) - start, data[start]))
''',
)
replace(
    "rle.py",
    '''\
        while count >= LONGEST:
            yield LONGEST - 1, value
''',
    '''\
        while count > LONGEST:
            yield LONGEST, value
''',
)
EOF
