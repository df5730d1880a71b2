#!/bin/bash
# The mask of n bits is (1 << n) - 1; the old field is cleared first; half the range is negative.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "bitfield.py",
    '''\
        return (1 << self.width + 1) - 1
''',
    '''\
        return (1 << self.width) - 1
''',
)
replace(
    "bitfield.py",
    '''\
            return bits - (1 << (self.width - 1))
''',
    '''\
            return bits - (1 << self.width)
''',
)
EOF
