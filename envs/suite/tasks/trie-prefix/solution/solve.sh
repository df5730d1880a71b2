#!/bin/bash
# Only the node of the last letter ends a word.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "trie.py",
    '''\
                node.children[letter] = Node(ends_word=True)
''',
    '''\
                node.children[letter] = Node(ends_word=False)
''',
)
EOF
