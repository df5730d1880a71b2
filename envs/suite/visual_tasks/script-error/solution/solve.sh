#!/bin/bash
# Paths, names and the default action of a form were wrong; text goes in as text.
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
href="styles.css"''',
    '''\
href="style.css"''',
)
replace(
    'list.js',
    '''\
"./words"''',
    '''\
"./words.js"''',
)
replace(
    'list.js',
    '''\
"#lists"''',
    '''\
"#list"''',
)
replace(
    'list.js',
    '''\
item.innerHTML = `<span>${text}</span> <button>x</button>`;
''',
    '''\
item.innerHTML = "<span></span> <button>x</button>";
  item.querySelector("span").textContent = text;
''',
)
replace(
    'list.js',
    '''\
() => list.remove(item));''',
    '''\
() => {
    item.remove();
    show();
  });''',
)
replace(
    'list.js',
    '''\
("submit", () => {
''',
    '''\
("submit", (event) => {
  event.preventDefault();
''',
)
replace(
    'list.js',
    '''\
items.each(add);''',
    '''\
items.forEach((text) => add(text));''',
)
replace(
    'words.js',
    '''\
return `${count} ${word}s`;''',
    '''\
return count === 1 ? `1 ${word}` : `${count} ${word}s`;''',
)
EOF
