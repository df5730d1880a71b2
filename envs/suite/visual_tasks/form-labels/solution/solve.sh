#!/bin/bash
# Native elements bring most roles and names with them.
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
<svg width="80" height="40">''',
    '''\
<svg width="80" height="40" role="img" aria-label="The Daily Heron">''',
)
replace(
    'index.html',
    '''\
<div class="title">Newsletter</div>''',
    '''\
<h1 class="title">Newsletter</h1>''',
)
replace(
    'index.html',
    '''\
<p>Email address <input id="email" type="text"></p>''',
    '''\
<p><label>Email address <input id="email" type="text"></label></p>''',
)
replace(
    'index.html',
    '''\
  <div>
    <p>How often</p>''',
    '''\
  <fieldset>
    <legend>How often</legend>''',
)
replace(
    'index.html',
    '''\
<p><input type="radio" name="often" value="day" checked> Every day</p>''',
    '''\
<p><label><input type="radio" name="often" value="day" checked> Every day</label></p>''',
)
replace(
    'index.html',
    '''\
<p><input type="radio" name="often" value="week"> Every week</p>
  </div>''',
    '''\
<p><label><input type="radio" name="often" value="week"> Every week</label></p>
  </fieldset>''',
)
replace(
    'index.html',
    '''\
<div class="button" id="send">Subscribe</div>''',
    '''\
<button class="button" id="send" type="button">Subscribe</button>''',
)
replace(
    'index.html',
    '''\
<p id="answer"></p>''',
    '''\
<p id="answer" role="status"></p>''',
)
EOF
