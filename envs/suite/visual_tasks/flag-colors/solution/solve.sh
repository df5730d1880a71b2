#!/bin/bash
# Each part is placed by the numbers of the description.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    'index.html',
    '''\
background: #0b3a6b; border: 2px solid black;''',
    '''\
background: #0b6b3a;''',
)
replace(
    'index.html',
    '''\
.white.level { left: 0; top: 90px;''',
    '''\
.white.level { left: 0; top: 80px;''',
)
replace(
    'index.html',
    '''\
.red.up { left: 98px;''',
    '''\
.red.up { left: 102px;''',
)
replace(
    'index.html',
    '''\
.red.level { left: 0; top: 98px;''',
    '''\
.red.level { left: 0; top: 92px;''',
)
replace(
    'index.html',
    '''\
.disc { left: 45px; top: 40px; width: 48px; height: 48px;''',
    '''\
.disc { left: 21px; top: 16px; width: 48px; height: 48px; border-radius: 50%;''',
)
replace(
    'index.html',
    '''\
<div id="flag">''',
    '''\
<div id="flag" role="img" aria-label="Flag of Greenharbour">''',
)
EOF
