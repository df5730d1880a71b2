"""Joining two tables on a column they share."""

from .table import Table


def index_rows(table, key):
    """Rows by the value of the key column."""
    at = table.index(key)
    found = {}
    for row in table.rows:
        found[row[at]] = row
    return found


def without(row, at):
    return row[:at] + row[at + 1 :]


def join(left, right, key, how="inner"):
    """Rows of `left` with the matching rows of `right`; how is "inner" or "left"."""
    if how not in ("inner", "left"):
        raise ValueError(f"unknown kind of join: {how!r}")
    partners = index_rows(right, key)
    left_at, right_at = left.index(key), right.index(key)
    header = left.header + without(right.header, right_at)
    rows = []
    for row in left.rows:
        partner = partners.get(row[left_at])
        if partner is not None:
            rows.append(row + without(partner, right_at))
    return Table(header, rows)
