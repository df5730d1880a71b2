import json
import os
import subprocess
import sys

import pytest

from merge import merge


def lines(*readings):
    return [json.dumps({"t": t, "sensor": s, "value": v}) for t, s, v in readings]


def column(records, sensor="a"):
    return [record[sensor] for record in records]


@pytest.mark.parametrize(("gap", "filled"), [(2, True), (4, True), (5, True), (6, False), (9, False)])
def test_only_short_gaps_are_filled(gap, filled):
    got = column(merge([lines((0, "a", 0.0), (gap * 60, "a", gap * 1.0))]))
    expected = [float(n) if filled else None for n in range(1, gap)]
    assert got == [0.0, *expected, float(gap)]


def test_ends_are_not_invented():
    records = merge([lines((0, "a", 1.0), (180, "a", 4.0), (60, "b", 5.0))])
    assert column(records) == [1.0, 2.0, 3.0, 4.0]
    assert column(records, "b") == [None, 5.0, None, None]


def test_sensors_are_sorted():
    [record] = merge([lines((0, "c", 1), (1, "a", 2), (2, "b", 3))])
    assert list(record) == ["t", "a", "b", "c"]


def test_duplicates_do_not_weigh_twice():
    first, second = lines((0, "a", 1.0), (10, "a", 3.0)), lines((10, "a", 3.0), (20, "a", 8.0))
    assert merge([first, second]) == [{"t": 0, "a": 4.0}]


def test_later_file_wins_before_the_mean():
    assert merge([lines((0, "a", 100.0), (1, "a", 2.0)), lines((0, "a", 4.0))]) == [{"t": 0, "a": 3.0}]


def test_same_time_of_different_sensors():
    assert merge([lines((0, "a", 1.0), (0, "b", 2.0))]) == [{"t": 0, "a": 1.0, "b": 2.0}]


@pytest.mark.parametrize(
    "bad",
    ["", "[]", "5", '{"t": 0}', '{"t": 0, "sensor": "a", "value": null}', '{"t": 0, "sensor": "a", "value": "7"}',
     '{"t": 0, "sensor": "a", "value": true}', '{"t": 0, "sensor": "a", "value": NaN}', '{"sensor": "a", "value": 1}'],
)
def test_bad_lines(bad):
    assert merge([[bad, *lines((61, "a", 2.0))]]) == [{"t": 60, "a": 2.0}]


def test_only_bad_lines():
    assert merge([["x", "{}"]]) == []


def test_minute_boundaries():
    records = merge([lines((59, "a", 1.0), (60, "a", 2.0), (119, "a", 4.0), (120, "a", 8.0))])
    assert column(records) == [1.0, 3.0, 8.0]


def test_rounding():
    assert column(merge([lines((0, "a", 1.0), (1, "a", 1.0), (2, "a", 2.0))])) == [1.333]
    assert column(merge([lines((0, "a", 0.0), (180, "a", 1.0))])) == [0.0, 0.333, 0.667, 1.0]


def test_order_of_lines_does_not_matter():
    readings = lines((130, "a", 3.0), (0, "a", 1.0), (70, "b", 2.0), (10, "a", 5.0))
    assert merge([readings]) == merge([readings[::-1]])


def test_program(tmp_path):
    one, two = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    one.write_text("\n".join(lines((0, "b", 1.0))) + "\n")
    two.write_text("garbage\n" + "\n".join(lines((65, "a", 2.0))) + "\n")
    script = os.path.join(os.getcwd(), "merge.py")
    done = subprocess.run([sys.executable, script, str(one), str(two)], capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"t": 0, "a": None, "b": 1.0},
        {"t": 60, "a": 2.0, "b": None},
    ]


def test_gaps_later_on_are_filled_by_their_own_neighbours():
    readings = lines((0, "a", 0.0), (120, "a", 2.0), (300, "a", 8.0))
    assert column(merge([readings])) == [0.0, 1.0, 2.0, 4.0, 6.0, 8.0]
