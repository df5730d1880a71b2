#!/bin/bash
# A bucket never holds more than its capacity, and what is exactly there may be spent.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "ratelimit.py",
    '''\
        self.tokens = max(self.capacity, self.tokens + elapsed * self.rate)
''',
    '''\
        self.tokens = min(self.capacity, self.tokens + elapsed * self.rate)
''',
)
replace(
    "ratelimit.py",
    '''\
        if self.tokens > cost:
''',
    '''\
        if self.tokens >= cost:
''',
)
EOF
