#!/bin/bash
# A CSV reader needs a state for quotes; a join needs all rows of a key, and unmatched ones when asked.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "tables/csvtext.py",
    '''\
def cells(line):
    return line.split(",")


def parse(text):
    """The table in a text; the first line is the header."""
    lines = [cells(line) for line in text.splitlines() if line]
    return Table(lines[0], lines[1:])


def quote(cell):
    return cell
''',
    r'''def records(text):
    """Lists of cells; empty lines are skipped."""
    row, cell, quoted, was_quoted = [], "", False, False
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if quoted:
            if char != '"':
                cell += char
            elif text[at : at + 1] == '"':
                cell += '"'
                at += 1
            else:
                quoted = False
        elif char == '"' and not cell:
            quoted = was_quoted = True
        elif char == ",":
            row.append(cell)
            cell, was_quoted = "", False
        elif char == "\n":
            if row or cell or was_quoted:
                yield [*row, cell]
            row, cell, was_quoted = [], "", False
        elif char == "\r" and text[at : at + 1] == "\n":
            continue
        else:
            cell += char
    if quoted:
        raise ValueError("a quoted cell is not closed")
    if row or cell or was_quoted:
        yield [*row, cell]


def parse(text):
    """The table in a text; the first line is the header."""
    found = list(records(text))
    if not found:
        raise ValueError("there is no header")
    return Table(found[0], found[1:])


def quote(cell):
    if any(char in cell for char in ',"\r\n') or not cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell''' + "\n",
)
replace(
    "tables/joining.py",
    '''\
        found[row[at]] = row
''',
    '''\
        found.setdefault(row[at], []).append(row)
''',
)
replace(
    "tables/joining.py",
    '''\
    header = left.header + without(right.header, right_at)
    rows = []
    for row in left.rows:
        partner = partners.get(row[left_at])
        if partner is not None:
            rows.append(row + without(partner, right_at))
    return Table(header, rows)
''',
    '''\
    added = without(right.header, right_at)
    header = left.header + [f"{name}_right" if name in left.header else name for name in added]
    rows = []
    for row in left.rows:
        matching = partners.get(row[left_at], [])
        rows.extend(row + without(partner, right_at) for partner in matching)
        if how == "left" and not matching:
            rows.append(row + [""] * len(added))
    return Table(header, rows)
''',
)
EOF
