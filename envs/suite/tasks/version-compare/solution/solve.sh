#!/bin/bash
# A version without a pre-release part is newer than one with it.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "versions.py",
    '''\
    return _compare_values(bool(pre_a), bool(pre_b))
''',
    '''\
    return _compare_values(bool(pre_b), bool(pre_a))
''',
)
EOF
