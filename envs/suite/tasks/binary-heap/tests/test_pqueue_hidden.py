import random

import pytest

from pqueue import PriorityQueue


def drain(queue):
    return [queue.pop() for _ in range(len(queue))]


@pytest.mark.parametrize("seed", range(5))
def test_order_against_sorting(seed):
    rng = random.Random(seed)
    queue = PriorityQueue()
    jobs = [(rng.randrange(20), i) for i in range(60)]
    for priority, i in jobs:
        queue.push(i, priority)
    assert drain(queue) == [i for _, i in sorted(jobs)]


@pytest.mark.parametrize("seed", range(5))
def test_changes_against_sorting(seed):
    rng = random.Random(seed)
    queue = PriorityQueue()
    priority = {}
    for i in range(40):
        priority[i] = rng.randrange(100)
        queue.push(i, priority[i])
    for _ in range(60):
        i = rng.randrange(40)
        priority[i] = rng.randrange(100)
        queue.change(i, priority[i])
    assert drain(queue) == [i for _, i in sorted((p, i) for i, p in priority.items())]


def test_mixed_pushes_and_pops():
    rng = random.Random(7)
    queue, model = PriorityQueue(), []
    for i in range(200):
        if model and rng.random() < 0.45:
            model.sort()
            assert queue.pop() == model.pop(0)[1]
        else:
            p = rng.randrange(30)
            queue.push(i, p)
            model.append((p, i))
        assert len(queue) == len(model)


def test_first_come_first_served():
    queue = PriorityQueue()
    for i in range(20):
        queue.push(i, 1)
    assert drain(queue) == list(range(20))


def test_change_down():
    queue = PriorityQueue()
    for i in range(7):
        queue.push(i, i)
    queue.change(0, 99)
    assert drain(queue) == [1, 2, 3, 4, 5, 6, 0]


def test_popped_job_may_come_back():
    queue = PriorityQueue()
    queue.push("a", 1)
    queue.pop()
    assert "a" not in queue
    queue.push("a", 2)
    assert queue.peek() == "a"


def test_change_of_absent_job():
    with pytest.raises(KeyError):
        PriorityQueue().change("a", 1)
