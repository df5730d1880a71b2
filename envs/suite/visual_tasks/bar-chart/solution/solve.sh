#!/bin/bash
# Places, scale and direction follow the description; an empty row keeps its place.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    'chart.py',
    '''\
return [float(row["value"]) for row in csv.DictReader(file) if row["value"]]''',
    '''\
return [float(row["value"]) if row["value"] else None for row in csv.DictReader(file)]''',
)
replace(
    'chart.py',
    '''\
top = sum(values)''',
    '''\
known = [value for value in values if value is not None]
    top = max(known)
    first = values.index(top)''',
)
replace(
    'chart.py',
    '''\
        height = int(TALLEST * value / top)
        color = RED if value == top else BLUE
        for y in range(height):
            for x in range(20 * index + 10, 20 * index + 30):
                picture[y][x] = color
''',
    '''\
        if value is None:
            continue
        height = int(TALLEST * value / top + 0.5)
        color = RED if index == first else BLUE
        for y in range(HEIGHT - height, HEIGHT):
            for x in range(30 * index + 10, 30 * index + 30):
                picture[y][x] = color
''',
)
EOF
