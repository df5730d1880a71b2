#!/bin/bash
# Rounding up is (n + size - 1) // size.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "pagination.py",
    '''\
        return max(1, (len(self.items) + self.size) // self.size)
''',
    '''\
        return max(1, (len(self.items) + self.size - 1) // self.size)
''',
)
EOF
