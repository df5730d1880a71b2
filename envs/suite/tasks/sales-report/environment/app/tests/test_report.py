import json
from pathlib import Path

from report import cents, main, monthly, regions


def row(id, date="2024-01-01", shop="s", status="paid", amount="1.00"):
    return {"id": id, "date": date, "shop": shop, "status": status, "amount": amount}


def test_amounts():
    assert cents("12.50") == 1250


def test_short_amounts():
    assert [cents("12.5"), cents("7")] == [1250, 700]


def test_regions():
    assert regions([{"shop": "a", "region": "north"}]) == {"a": "north"}


def test_cancelled_orders_do_not_count():
    assert monthly([row("1", status="cancelled")], {"s": "x"}) == {}


def test_two_months():
    table = monthly([row("1"), row("2", date="2024-02-01")], {"s": "x"})
    assert table == {("2024-01", "x"): [1, 100], ("2024-02", "x"): [1, 100]}


def test_shipped_data(tmp_path):
    main(Path("data"), tmp_path)
    assert (tmp_path / "monthly.csv").read_text().splitlines() == [
        "month,region,orders,cents",
        "2024-01,north,2,126250",
        "2024-01,south,1,700",
        "2024-01,unknown,1,310",
        "2024-02,south,1,2000",
    ]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"rows": 4, "orders": 5, "cents": 129260}
