#!/bin/bash
# A joiner belongs to the word when there is a letter on both sides: the check was turned round.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "wordcount.py",
    '''\
    return text[position - 1].isalpha() and not text[position + 1].isalpha()
''',
    '''\
    return text[position - 1].isalpha() and text[position + 1].isalpha()
''',
)
EOF
