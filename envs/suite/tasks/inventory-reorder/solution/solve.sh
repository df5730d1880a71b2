#!/bin/bash
# An item is due when its available stock is at or below the reorder point.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "inventory.py",
    '''\
        return item.available() < item.reorder_point
''',
    '''\
        return item.available() <= item.reorder_point
''',
)
EOF
