#!/bin/bash
# The right operand of a left-associative operator only takes operators of a higher level.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "calc.py",
    '''\
            right = self.expression(level if from_right else level)
''',
    '''\
            right = self.expression(level if from_right else level + 1)
''',
)
EOF
