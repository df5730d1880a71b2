#!/bin/bash
# Rows are made unique by id, amounts are read by position of the point, and each status has its own effect.
set -euo pipefail

python3 - <<'EOF'
from pathlib import Path


def replace(name, old, new):
    text = Path(name).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{name}: the text to replace is not there exactly once")
    Path(name).write_text(text.replace(old, new))


replace(
    "report.py",
    '''\
def cents(text):
    whole, _, fraction = text.rpartition(".")
    return int(whole or 0) * 100 + int(fraction)
''',
    '''\
def cents(text):
    whole, _, fraction = text.strip().replace(",", "").partition(".")
    return int(whole or 0) * 100 + int(fraction.ljust(2, "0"))
''',
)
replace(
    "report.py",
    '''\
    for row in sales:
        if row["status"] == "canceled":
            continue
        key = (row["date"][:7], region_of.get(row["shop"], ""))
        entry = table.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += cents(row["amount"])
    return table
''',
    '''\
    last = {row["id"]: row for row in sales}
    for row in last.values():
        if row["status"] == "cancelled":
            continue
        key = (row["date"][:7], region_of.get(row["shop"], "unknown"))
        entry = table.setdefault(key, [0, 0])
        if row["status"] == "refund":
            entry[1] -= cents(row["amount"])
        else:
            entry[0] += 1
            entry[1] += cents(row["amount"])
    return table
''',
)
replace(
    "report.py",
    '''\
    rows = [[month, region, *values] for (month, region), values in table.items()]
''',
    '''\
    rows = [[month, region, *values] for (month, region), values in sorted(table.items())]
''',
)
EOF
