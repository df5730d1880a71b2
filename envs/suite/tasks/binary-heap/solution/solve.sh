#!/bin/bash
# The children of i are 2i+1 and 2i+2, and sinking goes on with the smaller one.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "pqueue.py",
    '''\
            right = 2 * index + 3
''',
    '''\
            right = 2 * index + 2
''',
)
EOF
