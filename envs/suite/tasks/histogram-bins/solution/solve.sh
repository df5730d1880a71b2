#!/bin/bash
# The value on the upper edge belongs into the last bin, whose index is bins - 1.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "histogram.py",
    '''\
    return min(index, bins)
''',
    '''\
    return min(index, bins - 1)
''',
)
EOF
