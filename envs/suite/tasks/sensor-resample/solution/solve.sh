#!/bin/bash
# Readings are made unique first, averaged per minute, and only short gaps are filled, by interpolation.
set -euo pipefail

cat > merge.py <<'EOF'
"""Merge the readings of several loggers into one line per minute."""

import json
import math
import sys

MINUTE = 60
LONGEST_GAP = 5 * MINUTE


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read(lines):
    """(t, sensor, value) of each proper reading."""
    for line in lines:
        try:
            entry = json.loads(line)
            t, sensor, value = entry["t"], entry["sensor"], entry["value"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(t, int) and not isinstance(t, bool) and isinstance(sensor, str) and is_number(value):
            yield t, sensor, value


def per_minute(readings):
    """{sensor: {minute start: mean}}; of readings with the same sensor and time the last one counts."""
    unique = {(sensor, t): value for t, sensor, value in readings}
    table = {}
    for (sensor, t), value in unique.items():
        table.setdefault(sensor, {}).setdefault(t - t % MINUTE, []).append(value)
    return {
        sensor: {minute: math.fsum(values) / len(values) for minute, values in minutes.items()}
        for sensor, minutes in table.items()
    }


def fill(values, minutes):
    """A value or None for each minute; short gaps are interpolated."""
    known = sorted(values)
    filled = []
    for minute in minutes:
        if minute in values:
            filled.append(round(values[minute], 3))
            continue
        before = max((m for m in known if m < minute), default=None)
        after = min((m for m in known if m > minute), default=None)
        if before is None or after is None or after - before > LONGEST_GAP:
            filled.append(None)
            continue
        share = (minute - before) / (after - before)
        filled.append(round(values[before] + share * (values[after] - values[before]), 3))
    return filled


def merge(files):
    """Output records for the lines of some files, the later ones more trustworthy."""
    readings = [reading for lines in files for reading in read(lines)]
    table = per_minute(readings)
    if not table:
        return []
    starts = [minute for values in table.values() for minute in values]
    minutes = range(min(starts), max(starts) + MINUTE, MINUTE)
    columns = {sensor: fill(table[sensor], minutes) for sensor in sorted(table)}
    return [
        {"t": minute, **{sensor: column[at] for sensor, column in columns.items()}}
        for at, minute in enumerate(minutes)
    ]


def main(paths):
    files = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            files.append(file.read().splitlines())
    for record in merge(files):
        print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1:])
EOF
