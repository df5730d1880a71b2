#!/bin/bash
# A line may be filled up to the width itself; the room of a line is what its own prefix leaves.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "wrap.py",
    '''\
            if len(line) + 1 + len(word) < limit():
''',
    '''\
            if len(line) + 1 + len(word) <= limit():
''',
)
EOF
