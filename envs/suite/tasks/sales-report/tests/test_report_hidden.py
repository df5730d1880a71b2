import json
import os
import subprocess
import sys

import pytest

from report import cents, monthly

HEADER = "id,date,shop,status,amount\n"


def report(tmp_path, sales, regions="s,north\n"):
    data, out = tmp_path / "in", tmp_path / "new" / "out"
    data.mkdir()
    (data / "sales.csv").write_text(HEADER + sales)
    (data / "regions.csv").write_text("shop,region\n" + regions)
    script = os.path.join(os.getcwd(), "report.py")
    subprocess.run([sys.executable, script, str(data), str(out)], check=True)
    return (out / "monthly.csv").read_text(), json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("7", 700), ("7.", 700), ("7.1", 710), ("7.05", 705), (".5", 50), ("1,250.00", 125000), ("1,000,000", 100000000)],
)
def test_amounts(text, value):
    assert cents(text) == value


def test_files(tmp_path):
    text, summary = report(tmp_path, "2,2024-02-01,s,paid,2\n1,2024-01-01,s,paid,1\n3,2024-01-09,zz,paid,4.5\n")
    assert text == "month,region,orders,cents\n2024-01,north,1,100\n2024-01,unknown,1,450\n2024-02,north,1,200\n"
    assert summary == {"rows": 3, "orders": 3, "cents": 750}


def test_refund_is_subtracted(tmp_path):
    text, summary = report(tmp_path, "1,2024-01-01,s,paid,10\n2,2024-01-02,s,refund,2.50\n")
    assert text.splitlines()[1:] == ["2024-01,north,1,750"]
    assert summary["cents"] == 750


def test_month_with_refunds_only(tmp_path):
    text, _ = report(tmp_path, "1,2024-01-01,s,refund,10\n")
    assert text.splitlines()[1:] == ["2024-01,north,0,-1000"]


def test_last_row_of_an_id_counts(tmp_path):
    text, _ = report(tmp_path, "1,2024-01-01,s,paid,10\n2,2024-01-01,s,paid,1\n1,2024-02-01,s,paid,12\n")
    assert text.splitlines()[1:] == ["2024-01,north,1,100", "2024-02,north,1,1200"]


def test_order_that_was_cancelled_later(tmp_path):
    text, summary = report(tmp_path, "1,2024-01-01,s,paid,10\n1,2024-01-01,s,cancelled,10\n")
    assert text == "month,region,orders,cents\n"
    assert summary == {"rows": 0, "orders": 0, "cents": 0}


def test_regions_are_summed(tmp_path):
    text, _ = report(tmp_path, "1,2024-01-01,a,paid,1\n2,2024-01-31,b,paid,\"2,000.10\"\n", "a,west\nb,west\n")
    assert text.splitlines()[1:] == ["2024-01,west,2,200110"]


def test_order_of_the_input_does_not_matter():
    rows = [
        {"id": str(n), "date": f"2024-0{n % 3 + 1}-01", "shop": "s", "status": "paid", "amount": f"{n}.5"} for n in range(9)
    ]
    assert monthly(rows, {}) == monthly(rows[::-1], {})


def test_an_output_directory_that_is_there_already(tmp_path):
    (tmp_path / "new" / "out").mkdir(parents=True)
    text, _ = report(tmp_path, "1,2024-01-01,s,paid,3\n")
    assert text.splitlines()[1:] == ["2024-01,north,1,300"]
