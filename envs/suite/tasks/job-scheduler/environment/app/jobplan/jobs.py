"""Jobs and what can be wrong with them."""


class UnknownJob(KeyError):
    """A job depends on one that does not exist."""


class CycleError(ValueError):
    """Jobs wait for each other; `cycle` names them."""

    def __init__(self, cycle):
        super().__init__("circle: " + " -> ".join(cycle))
        self.cycle = cycle


class Job:
    def __init__(self, name, duration=1, needs=()):
        if duration < 1:
            raise ValueError("a job takes at least a minute")
        self.name = name
        self.duration = duration
        self.needs = tuple(needs)


def by_name(jobs):
    """Jobs by name; every dependency has to exist."""
    table = {}
    for job in jobs:
        if job.name in table:
            raise ValueError(f"two jobs are called {job.name}")
        table[job.name] = job
    for job in table.values():
        for need in job.needs:
            if need not in table:
                raise UnknownJob(need)
    return table
