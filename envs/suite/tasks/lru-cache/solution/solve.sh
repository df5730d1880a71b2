#!/bin/bash
# Eviction takes the oldest entry, which stands first in the ordered dict.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "lru.py",
    '''\
            evicted, _ = self._entries.popitem(last=True)
''',
    '''\
            evicted, _ = self._entries.popitem(last=False)
''',
)
EOF
