"""Monthly sales per region from the shop's export."""

import csv
import json
import sys
from pathlib import Path


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def cents(text):
    whole, _, fraction = text.rpartition(".")
    return int(whole or 0) * 100 + int(fraction)


def regions(rows):
    return {row["shop"]: row["region"] for row in rows}


def monthly(sales, region_of):
    """{(month, region): [orders, cents]}."""
    table = {}
    for row in sales:
        if row["status"] == "canceled":
            continue
        key = (row["date"][:7], region_of.get(row["shop"], ""))
        entry = table.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += cents(row["amount"])
    return table


def write(table, out):
    rows = [[month, region, *values] for (month, region), values in table.items()]
    with open(out / "monthly.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["month", "region", "orders", "cents"])
        writer.writerows(rows)
    summary = {"rows": len(rows), "orders": sum(r[2] for r in rows), "cents": sum(r[3] for r in rows)}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def main(data, out):
    data, out = Path(data), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write(monthly(read(data / "sales.csv"), regions(read(data / "regions.csv"))), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
