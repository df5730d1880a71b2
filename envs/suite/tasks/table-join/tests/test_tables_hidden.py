import pytest

from tables import Table, join, parse, render


@pytest.mark.parametrize(
    "cell",
    ["", "a", "a,b", '"', 'say "hi"', '""', ",", "two\nlines", "cr\r\nlf", " spaced ", "x,\"y\",z", "\n", "'"],
)
def test_round_trip(cell):
    table = Table(["k", "v"], [["1", cell], [cell, "2"]])
    assert parse(render(table)) == table


def test_round_trip_of_a_single_empty_cell():
    table = Table(["k"], [[""], ["x"]])
    assert parse(render(table)) == table


def test_quotes_are_used_only_where_needed():
    assert render(Table(["a", "b"], [["x y", "p,q"]])) == 'a,b\nx y,"p,q"\n'


def test_doubled_quotes_and_line_breaks():
    assert parse('a,b\n"he said ""no""","l1\nl2"\n').rows == [['he said "no"', "l1\nl2"]]


def test_empty_cells_and_lines():
    assert parse("a,b,c\n\n,,\n1,,3\n").rows == [["", "", ""], ["1", "", "3"]]


def test_last_line_without_line_break():
    assert parse("a,b\n1,2").rows == [["1", "2"]]


def test_windows_line_ends():
    assert parse("a,b\r\n1,2\r\n").rows == [["1", "2"]]


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError):
        parse("a,b\n1\n")


def test_join_is_in_order_of_left_then_right():
    left = Table(["k", "l"], [["b", "1"], ["a", "2"], ["b", "3"]])
    right = Table(["r", "k"], [["x", "a"], ["y", "b"], ["z", "b"]])
    assert join(left, right, "k") == Table(
        ["k", "l", "r"],
        [["b", "1", "y"], ["b", "1", "z"], ["a", "2", "x"], ["b", "3", "y"], ["b", "3", "z"]],
    )


def test_left_join_of_several_columns():
    left = Table(["k"], [["a"], ["q"]])
    right = Table(["k", "x", "y"], [["a", "1", "2"]])
    assert join(left, right, "k", how="left").rows == [["a", "1", "2"], ["q", "", ""]]
    assert join(left, right, "k").rows == [["a", "1", "2"]]


def test_shared_column_names():
    left = Table(["k", "name"], [["1", "Ann"]])
    right = Table(["k", "name", "z"], [["1", "tea", "9"]])
    joined = join(left, right, "k")
    assert joined.header == ["k", "name", "name_right", "z"]
    assert joined.rows == [["1", "Ann", "tea", "9"]]


def test_join_with_an_empty_table():
    left, right = Table(["k", "a"], [["1", "2"]]), Table(["k", "b"])
    assert join(left, right, "k") == Table(["k", "a", "b"])
    assert join(left, right, "k", "left") == Table(["k", "a", "b"], [["1", "2", ""]])


def test_inputs_are_not_changed():
    left, right = Table(["k"], [["1"]]), Table(["k", "v"], [["1", "x"]])
    joined = join(left, right, "k")
    joined.rows[0][0] = "changed"
    assert left.rows == [["1"]] and right.rows == [["1", "x"]]


def test_a_quote_that_is_not_closed_is_refused():
    with pytest.raises(ValueError):
        parse('a,b\n1,"2\n')
