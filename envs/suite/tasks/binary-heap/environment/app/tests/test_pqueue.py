import pytest

from pqueue import PriorityQueue


def drain(queue):
    return [queue.pop() for _ in range(len(queue))]


def test_two_jobs():
    queue = PriorityQueue()
    queue.push("late", 5)
    queue.push("soon", 1)
    assert drain(queue) == ["soon", "late"]


def test_equal_priorities_keep_their_order():
    queue = PriorityQueue()
    for name in "abc":
        queue.push(name, 1)
    assert queue.pop() == "a"


def test_many_jobs():
    queue = PriorityQueue()
    for n in (9, 3, 7, 1, 8, 2, 6, 4, 5):
        queue.push(f"job{n}", n)
    assert drain(queue) == [f"job{n}" for n in range(1, 10)]


def test_change_to_front():
    queue = PriorityQueue()
    queue.push("a", 1)
    queue.push("b", 2)
    queue.change("b", 0)
    assert queue.peek() == "b"


def test_empty_queue():
    with pytest.raises(IndexError):
        PriorityQueue().pop()


def test_contains():
    queue = PriorityQueue()
    queue.push("a", 1)
    assert "a" in queue and "b" not in queue


def test_no_job_twice():
    queue = PriorityQueue()
    queue.push("a", 1)
    with pytest.raises(ValueError):
        queue.push("a", 2)
