#!/bin/bash
# A series of n values has n - window + 1 full windows.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "series.py",
    '''\
    for right in range(window, len(values) - 1):
''',
    '''\
    for right in range(window, len(values)):
''',
)
EOF
