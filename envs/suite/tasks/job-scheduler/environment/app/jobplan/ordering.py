"""An order in which jobs can run one after the other."""

from .jobs import by_name


def order(jobs):
    table = by_name(jobs)
    done = []
    for name in sorted(table):
        for need in table[name].needs:
            if need not in done:
                done.append(need)
        if name not in done:
            done.append(name)
    return done
