import random

import pytest

from jobplan import CycleError, Job, UnknownJob, makespan, order, plan


def some_jobs(seed, n=25):
    rng = random.Random(seed)
    names = [f"j{i:02d}" for i in range(n)]
    rng.shuffle(names)
    return [Job(name, rng.randint(1, 9), rng.sample(names[:i], min(i, rng.randrange(4)))) for i, name in enumerate(names)]


@pytest.mark.parametrize("seed", range(6))
def test_order_is_the_first_in_the_alphabet(seed):
    jobs = some_jobs(seed)
    done = []
    while len(done) < len(jobs):
        done.append(min(j.name for j in jobs if j.name not in done and set(j.needs) <= set(done)))
    assert order(jobs) == done


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_plan_is_possible(workers):
    jobs = some_jobs(11)
    placed = plan(jobs, workers)
    assert set(placed) == {job.name for job in jobs}
    for job in jobs:
        worker, start, end = placed[job.name]
        assert 0 <= worker < workers and end - start == job.duration
        assert all(placed[need][2] <= start for need in job.needs)
    for worker in range(workers):
        spans = sorted((s, e) for w, s, e in placed.values() if w == worker)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:]))


def test_longest_chain_first():
    jobs = [Job("a", 1), Job("b", 1), Job("z", 1, []), Job("tail", 9, ["z"])]
    placed = plan(jobs, 1)
    assert placed == {"z": (0, 0, 1), "tail": (0, 1, 10), "a": (0, 10, 11), "b": (0, 11, 12)}


def test_lowest_free_worker_and_ties():
    placed = plan([Job("c", 2), Job("a", 2), Job("b", 1), Job("d", 1)], 2)
    assert placed == {"a": (0, 0, 2), "c": (1, 0, 2), "b": (0, 2, 3), "d": (1, 2, 3)}


def test_idle_worker_waits():
    placed = plan([Job("a", 3), Job("b", 1, ["a"]), Job("c", 1, ["a"])], 2)
    assert placed == {"a": (0, 0, 3), "b": (0, 3, 4), "c": (1, 3, 4)}


def test_enough_workers_take_the_critical_path():
    jobs = some_jobs(4)
    table = {job.name: job for job in jobs}

    def chain(name):
        return table[name].duration + max(map(chain, table[name].needs), default=0)

    assert makespan(plan(jobs, 99)) == max(map(chain, table))


def test_cycle_is_named_in_order():
    jobs = [Job("a", needs=["b"]), Job("b", needs=["c"]), Job("c", needs=["d"]), Job("d", needs=["b"]), Job("e")]
    with pytest.raises(CycleError) as caught:
        order(jobs)
    cycle = caught.value.cycle
    at = cycle.index("b")
    assert cycle[at:] + cycle[:at] == ["b", "c", "d"]
    with pytest.raises(CycleError):
        plan(jobs, 2)


def test_job_that_needs_itself():
    with pytest.raises(CycleError) as caught:
        order([Job("a", needs=["a"])])
    assert caught.value.cycle == ["a"]


def test_job_that_waits_for_a_circle_is_not_in_it():
    with pytest.raises(CycleError) as caught:
        order([Job("a", needs=["x"]), Job("x", needs=["y"]), Job("y", needs=["x"])])
    assert sorted(caught.value.cycle) == ["x", "y"]


def test_same_dependency_twice():
    assert order([Job("a", needs=["b", "b"]), Job("b")]) == ["b", "a"]


def test_nothing_to_do():
    assert order([]) == [] and plan([], 3) == {} and makespan({}) == 0


def test_unknown():
    with pytest.raises(UnknownJob):
        plan([Job("a", needs=["ghost"])], 1)
