#!/bin/bash
# Change starts with the largest coin, and the exact price is enough.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "vending.py",
    '''\
        for coin in sorted(COINS, reverse=False):
''',
    '''\
        for coin in sorted(COINS, reverse=True):
''',
)
replace(
    "vending.py",
    '''\
        if self.credit <= price:
''',
    '''\
        if self.credit < price:
''',
)
EOF
