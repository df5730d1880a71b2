#!/bin/bash
# A numeral that stands before a larger one is subtracted.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "roman.py",
    '''\
        if following and VALUES[following] > value:
            total += value
''',
    '''\
        if following and VALUES[following] > value:
            total -= value
''',
)
EOF
