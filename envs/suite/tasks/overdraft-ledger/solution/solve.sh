#!/bin/bash
# What can be taken out is the balance plus the overdraft.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "ledger.py",
    '''\
        return self.balance - self.overdraft
''',
    '''\
        return self.balance + self.overdraft
''',
)
EOF
