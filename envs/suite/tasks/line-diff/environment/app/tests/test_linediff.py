import pytest

from linediff import PatchError, apply, diff, hunks, render, summary

OLD = ["a", "b", "c"]


def test_equal_lists():
    assert summary(diff(OLD, OLD)) == (0, 0)


def test_inserted_line():
    assert diff(OLD, ["x", "a", "b", "c"]) == [("+", "x"), (" ", "a"), (" ", "b"), (" ", "c")]


def test_changed_line():
    assert render(diff(OLD, ["a", "B", "c"])) == " a\n-b\n+B\n c"


def test_removed_line():
    assert summary(diff(OLD, ["b", "c"])) == (1, 0)


def test_small_hunk():
    old = [str(n) for n in range(20)]
    new = old[:10] + ["ten"] + old[11:]
    [(old_start, new_start, ops)] = hunks(diff(old, new), context=1)
    assert (old_start, new_start) == (9, 9)
    assert ops == [(" ", "9"), ("-", "10"), ("+", "ten"), (" ", "11")]


def test_round_trip():
    assert apply(OLD, hunks(diff(OLD, ["c", "d"]))) == ["c", "d"]


def test_patch_that_does_not_fit():
    with pytest.raises(PatchError):
        apply(["other"], [(0, 0, [("-", "a")])])
