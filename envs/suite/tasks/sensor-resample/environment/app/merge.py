"""Merge the readings of several loggers into one line per minute."""

import json
import sys

MINUTE = 60


def read(lines):
    """(t, sensor, value) of each reading."""
    for line in lines:
        entry = json.loads(line)
        yield entry["t"], entry["sensor"], entry["value"]


def per_minute(readings):
    """{sensor: {minute start: value}}."""
    table = {}
    for t, sensor, value in readings:
        minute = t - t % MINUTE
        table.setdefault(sensor, {})[minute] = value
    return table


def fill(values, minutes):
    """A value or None for each minute."""
    filled = []
    last = None
    for minute in minutes:
        last = values.get(minute, last)
        filled.append(last)
    return filled


def merge(files):
    """Output records for the lines of some files, the later ones more trustworthy."""
    readings = [reading for lines in files for reading in read(lines)]
    table = per_minute(readings)
    if not table:
        return []
    starts = [minute for values in table.values() for minute in values]
    minutes = range(min(starts), max(starts) + MINUTE, MINUTE)
    columns = {sensor: fill(values, minutes) for sensor, values in table.items()}
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
