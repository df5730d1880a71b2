import pytest

from tables import Table, join, parse, render

CUSTOMERS = Table(["id", "name"], [["1", "Ann"], ["2", "Bob"]])
ORDERS = Table(["id", "item"], [["1", "tea"], ["1", "cup"]])


def test_plain_text():
    assert parse("id,name\n1,Ann\n") == Table(["id", "name"], [["1", "Ann"]])


def test_quoted_comma():
    assert parse('id,name\n1,"Smith, Ann"\n').column("name") == ["Smith, Ann"]


def test_rendering():
    assert render(CUSTOMERS) == "id,name\n1,Ann\n2,Bob\n"


def test_rendered_comma_reads_back():
    table = Table(["a"], [["x,y"]])
    assert parse(render(table)) == table


def test_several_matches():
    assert join(CUSTOMERS, ORDERS, "id").rows == [["1", "Ann", "tea"], ["1", "Ann", "cup"]]


def test_left_join_keeps_rows():
    assert join(CUSTOMERS, ORDERS, "id", how="left").rows[-1] == ["2", "Bob", ""]


def test_unknown_kind():
    with pytest.raises(ValueError):
        join(CUSTOMERS, ORDERS, "id", how="outer")


def test_unknown_column():
    with pytest.raises(KeyError):
        join(CUSTOMERS, ORDERS, "name")
