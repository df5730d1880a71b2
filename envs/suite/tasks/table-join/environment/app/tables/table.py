"""A table: a header and rows of text cells."""


class Table:
    def __init__(self, header, rows=()):
        self.header = list(header)
        self.rows = [list(row) for row in rows]
        if len(set(self.header)) != len(self.header):
            raise ValueError("two columns have the same name")
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"a row has {len(row)} cells instead of {len(self.header)}")

    def index(self, column):
        if column not in self.header:
            raise KeyError(f"no column {column!r}")
        return self.header.index(column)

    def column(self, name):
        at = self.index(name)
        return [row[at] for row in self.rows]

    def __eq__(self, other):
        return isinstance(other, Table) and (self.header, self.rows) == (other.header, other.rows)

    def __repr__(self):
        return f"Table({self.header}, {self.rows})"
