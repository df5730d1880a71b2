"""The contract of every memory store, as code: run it on your own.

problems = check_memory(MyMemory, directory, admitted)
assert not problems, problems

`admitted` comes from your own runs: what `Gate().admit(record)` let through of `load(RUN).branches()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..governance import Admitted
from .store import Memory, MemoryStore

OTHER = "selfcheck-other"


def check_memory(
    make: Callable[[Path], MemoryStore], directory: Path, admitted: Sequence[Admitted]
) -> list[str]:
    """What breaks the contract, one sentence each; empty when nothing does.

    `make` opens a store on a path (twice on the same one), `directory` is an empty place for it. `admitted`
    must hold solved branches of at least two tasks and one branch that is not solved; `ValueError` otherwise.
    """
    winners, loser = _material(admitted)
    path = directory / "selfcheck-memory"
    store = make(path)
    try:
        problems = [*_keeps(store, winners, loser), *_finds(store, winners), *_separates(store, winners)]
        second = make(path)
        try:
            if second.count() != len(winners):
                problems.append(
                    f"what was added must be there for the next reader: {second.count()} of {len(winners)}"
                )
        finally:
            second.close()
    finally:
        store.close()
        store.close()
    return problems


def _material(admitted: Sequence[Admitted]) -> tuple[list[Admitted], Admitted]:
    winners: dict[str, Admitted] = {}
    losers = []
    for each in admitted:
        if each.record.result.ending != "solved":
            losers.append(each)
        elif each.split == "train" and not each.marks:
            winners.setdefault(each.record.task.digest, each)
    if len(winners) < 2 or not losers:
        raise ValueError("the check needs solved branches of two tasks and one branch that is not solved")
    return list(winners.values()), losers[0]


def _keeps(store: MemoryStore, winners: list[Admitted], loser: Admitted) -> list[str]:
    problems = []
    if store.count() != 0 or store.recent():
        problems.append("a new store is empty")
    first, second = ([store.add(each) for each in winners] for _ in range(2))
    if not all(first):
        problems.append("adding a solved branch that is new returns True")
    if any(second) or store.count() != len(winners):
        problems.append("the same branch twice is stored once, and adding it again returns False")
    if store.add(loser) or store.count() != len(winners):
        problems.append("a branch that is not solved is never kept")
    if {entry.id for entry in store.recent(1000)} != {_id(each) for each in winners}:
        problems.append("`recent` lists what was added, under run/rollout/branch")
    return problems


def _finds(store: MemoryStore, winners: list[Admitted]) -> list[str]:
    problems = []
    for each in winners:
        task = each.record.task
        found = store.retrieve(task.instruction, len(winners))
        if not _is_first(found, _id(each)):
            problems.append(f"a task's own text finds its own entry first: {task.task_id}")
        if any(entry.relevance is None or not 0 <= entry.relevance <= 1 for entry in found):
            problems.append("what is retrieved by text has a relevance in [0, 1]")
        for name in (task.task_id, task.digest):
            kept_out = store.retrieve(task.instruction, len(winners), exclude_task=name, floor=0.0)
            if _id(each) in [entry.id for entry in kept_out]:
                problems.append(f"a task's own entries are left out by its id and by its digest: {name}")
        run = each.record.lineage.run_id
        if any(e.run_id == run for e in store.retrieve(task.instruction, 1000, exclude_run=run, floor=0.0)):
            problems.append("`exclude_run` leaves out that run's entries")
    text = winners[0].record.task.instruction
    if len(store.retrieve(text, 1, floor=0.0)) > 1 or store.retrieve(text, 0):
        problems.append("at most k entries are returned")
    if store.retrieve("", 5) or store.retrieve('" OR 1=1 -- NEAR( *', 5):
        problems.append("text without words finds nothing, whatever signs it holds")
    return problems


def _separates(store: MemoryStore, winners: list[Admitted]) -> list[str]:
    text = winners[0].record.task.instruction
    problems = []
    if store.count(namespace=OTHER) or store.retrieve(text, 5, namespace=OTHER, floor=0.0):
        problems.append("namespaces do not see each other")
    if not store.add(winners[0], namespace=OTHER) or store.count(namespace=OTHER) != 1:
        problems.append("a branch can be kept once in each namespace")
    return problems


def _id(each: Admitted) -> str:
    lineage = each.record.lineage
    return f"{lineage.run_id}/{lineage.rollout_id}/{lineage.branch_id}"


def _is_first(found: list[Memory], wanted: str) -> bool:
    return any(entry.id == wanted and entry.relevance == found[0].relevance for entry in found)
