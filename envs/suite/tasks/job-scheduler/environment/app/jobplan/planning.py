"""Placing jobs on workers."""

from .jobs import by_name
from .ordering import order


def plan(jobs, workers):
    """{name: (worker, start, end)}, times in minutes from 0."""
    if workers < 1:
        raise ValueError("there has to be a worker")
    table = by_name(jobs)
    free_at = [0] * workers
    placed = {}
    for name in order(jobs):
        worker = free_at.index(min(free_at))
        start = free_at[worker]
        end = start + table[name].duration
        placed[name] = (worker, start, end)
        free_at[worker] = end
    return placed


def makespan(placed):
    """When the last job ends."""
    return max((end for _, _, end in placed.values()), default=0)
