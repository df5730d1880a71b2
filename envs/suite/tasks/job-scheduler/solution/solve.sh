#!/bin/bash
# The order is Kahn's algorithm with a heap; the plan is list scheduling by critical path, one event at a time.
set -euo pipefail

cat > jobplan/ordering.py <<'EOF'
"""An order in which jobs can run one after the other."""

import heapq

from .jobs import CycleError, by_name


def find_cycle(table, names):
    """One circle among jobs that all wait for another one of them."""
    path, seen = [], {}
    name = min(names)
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = min(need for need in table[name].needs if need in names)
    return path[seen[name] :]


def order(jobs):
    table = by_name(jobs)
    waiting = {name: set(job.needs) for name, job in table.items()}
    users = {name: [] for name in table}
    for name, needs in waiting.items():
        for need in needs:
            users[need].append(name)
    ready = [name for name, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    done = []
    while ready:
        name = heapq.heappop(ready)
        done.append(name)
        for user in users[name]:
            waiting[user].discard(name)
            if not waiting[user]:
                heapq.heappush(ready, user)
    if len(done) < len(table):
        raise CycleError(find_cycle(table, set(table) - set(done)))
    return done
EOF

cat > jobplan/planning.py <<'EOF'
"""Placing jobs on workers."""

from .jobs import by_name
from .ordering import order


def chains(table, names):
    """For each job the minutes from its start to the end of the longest chain that waits for it."""
    users = {name: [] for name in table}
    for name, job in table.items():
        for need in job.needs:
            users[need].append(name)
    length = {}
    for name in reversed(names):
        length[name] = table[name].duration + max((length[user] for user in users[name]), default=0)
    return length


def plan(jobs, workers):
    """{name: (worker, start, end)}, times in minutes from 0."""
    if workers < 1:
        raise ValueError("there has to be a worker")
    table = by_name(jobs)
    names = order(jobs)
    length = chains(table, names)
    free_at = [0] * workers
    placed = {}
    now = 0
    while len(placed) < len(table):
        for worker in range(workers):
            if free_at[worker] > now:
                continue
            possible = [
                name
                for name in names
                if name not in placed
                and all(need in placed and placed[need][2] <= now for need in table[name].needs)
            ]
            if not possible:
                break
            name = min(possible, key=lambda n: (-length[n], n))
            placed[name] = (worker, now, now + table[name].duration)
            free_at[worker] = now + table[name].duration
        now = min((end for end in free_at if end > now), default=now)
    return placed


def makespan(placed):
    """When the last job ends."""
    return max((end for _, _, end in placed.values()), default=0)
EOF
