#!/bin/bash
# Half-open intervals that touch belong together.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "intervals.py",
    '''\
        if merged and start < merged[-1][1]:
''',
    '''\
        if merged and start <= merged[-1][1]:
''',
)
EOF
