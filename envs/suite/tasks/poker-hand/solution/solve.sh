#!/bin/bash
# The wheel is A,5,4,3,2; cards are compared by how often they occur and then by value.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "poker.py",
    '''\
    return sorted(((count, value) for value, count in counts.items()), reverse=False)
''',
    '''\
    return sorted(((count, value) for value, count in counts.items()), reverse=True)
''',
)
replace(
    "poker.py",
    '''\
    if distinct[3] == 5 and distinct[4] == 13:
''',
    '''\
    if distinct[3] == 5 and distinct[4] == 14:
''',
)
EOF
