#!/bin/bash
# Every answer says what it is, and names are escaped where they enter markup or an address.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    'app.py',
    '''\
import json
import sys
''',
    '''\
import html
import json
import sys
import urllib.parse
''',
)
replace(
    'app.py',
    '''\
fetch("/sumary")''',
    '''\
fetch("/summary")''',
)
replace(
    'app.py',
    '''\
<a href=/service?name={name}>{name}</a>''',
    '''\
<a href='/service?name={urllib.parse.quote(name)}'>{html.escape(name)}</a>''',
)
replace(
    'app.py',
    '''\
<h1>{name}</h1>''',
    '''\
<h1>{html.escape(name)}</h1>''',
)
replace(
    'app.py',
    '''\
            self.answer(service(query.removeprefix("name=")))
''',
    '''\
            name = urllib.parse.parse_qs(query).get("name", [""])[0]
            if name in SERVICES:
                self.answer(service(name))
            else:
                self.send_error(404)
''',
)
replace(
    'app.py',
    '''\
state == "down" for''',
    '''\
state == "up" for''',
)
replace(
    'app.py',
    '''\
"all": len(SERVICES)}))''',
    '''\
"all": len(SERVICES)}), "application/json")''',
)
replace(
    'app.py',
    '''\
Path("style.css").read_text())''',
    '''\
Path("style.css").read_text(), "text/css")''',
)
replace(
    'app.py',
    '''\
def answer(self, text):''',
    '''\
def answer(self, text, kind="text/html"):''',
)
replace(
    'app.py',
    '''\
text.encode("latin-1", "replace")''',
    '''\
text.encode()''',
)
replace(
    'app.py',
    '''\
"Content-Type", "text/plain"''',
    '''\
"Content-Type", f"{kind}; charset=utf-8"''',
)
EOF
