import json

from merge import merge


def lines(*readings):
    return [json.dumps({"t": t, "sensor": s, "value": v}) for t, s, v in readings]


def test_one_line_per_minute():
    assert merge([lines((0, "a", 1.0), (60, "a", 2.0))]) == [{"t": 0, "a": 1.0}, {"t": 60, "a": 2.0}]


def test_mean_of_a_minute():
    assert merge([lines((0, "a", 1.0), (30, "a", 2.0))]) == [{"t": 0, "a": 1.5}]


def test_short_gap_is_interpolated():
    assert merge([lines((0, "a", 1.0), (120, "a", 2.0))])[1] == {"t": 60, "a": 1.5}


def test_broken_lines_are_skipped():
    assert merge([["{oops", *lines((0, "a", 1.0))]]) == [{"t": 0, "a": 1.0}]


def test_later_file_wins():
    assert merge([lines((5, "a", 1.0)), lines((5, "a", 9.0))]) == [{"t": 0, "a": 9.0}]


def test_nothing():
    assert merge([]) == []
