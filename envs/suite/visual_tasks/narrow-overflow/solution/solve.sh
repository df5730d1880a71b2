#!/bin/bash
# Below 1150 pixels there is one column, and nothing has a width of its own.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    'prices.css',
    '''\
header { height: 90px;''',
    '''\
header { min-height: 90px;''',
)
replace(
    'prices.css',
    '''\
width: 480px;''',
    '''\
max-width: 480px;''',
)
replace(
    'prices.css',
    '''\
.price {''',
    '''\
@media (max-width: 1150px) {
  #plans { grid-template-columns: 1fr; }
  .plan { min-width: 0; }
}
.price {''',
)
EOF
