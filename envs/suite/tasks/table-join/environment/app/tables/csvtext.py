"""Tables as comma-separated text."""

from .table import Table


def cells(line):
    return line.split(",")


def parse(text):
    """The table in a text; the first line is the header."""
    lines = [cells(line) for line in text.splitlines() if line]
    return Table(lines[0], lines[1:])


def quote(cell):
    return cell


def render(table):
    lines = [table.header, *table.rows]
    return "".join(",".join(quote(cell) for cell in line) + "\n" for line in lines)
