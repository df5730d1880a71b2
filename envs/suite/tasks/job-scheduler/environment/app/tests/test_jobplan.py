import pytest

from example_jobs import CHAIN, DIAMOND
from jobplan import CycleError, Job, UnknownJob, makespan, order, plan


def test_direct_dependency():
    assert order([Job("a", needs=["b"]), Job("b")]) == ["b", "a"]


def test_chain():
    assert order(CHAIN) == ["d", "c", "b", "a"]


def test_circle():
    with pytest.raises(CycleError) as caught:
        order([Job("a", needs=["b"]), Job("b", needs=["a"])])
    assert sorted(caught.value.cycle) == ["a", "b"]


def test_unknown_dependency():
    with pytest.raises(UnknownJob):
        order([Job("a", needs=["x"])])


def test_plan_waits_for_dependencies():
    placed = plan(DIAMOND, 2)
    assert placed["left"][1] == 2 and placed["end"][1] == 6


def test_one_worker():
    assert makespan(plan(DIAMOND, 1)) == 10


def test_no_worker():
    with pytest.raises(ValueError):
        plan([], 0)
