#!/bin/bash
# Only a remainder needs one more page.
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
        if rest >= 0:
''',
    '''\
        if rest > 0:
''',
)
EOF
