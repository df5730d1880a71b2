"""Two sides put together, pair by pair or task by task. Keys that differ are an error."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .checks import number
from .errors import DuplicateKey, EmptyGroup, NonFiniteScore, UnpairedKeys

#: (task, seed), both hashable
Key = tuple[Any, Any]
#: Passed (1, True), not (0, False), a score in [0, 1], or missing (None): the machinery failed.
Outcome = float | None
Side = Mapping[Key, Outcome] | Iterable[tuple[Key, Outcome]]
By = Literal["seed", "task"]

_NAMED = 3  #: keys that an error names on each side


@dataclass(frozen=True)
class PairedTask:
    """The outcomes of one task on both sides; by seed, the i-th of one belongs to the i-th of the other."""

    task: str
    a: tuple[Outcome, ...]
    b: tuple[Outcome, ...]
    by: By

    @property
    def differences(self) -> list[float]:
        """b - a of every pair with both outcomes; of the two means, when only tasks are paired."""
        if self.by == "task":
            known_a, known_b = _known(self.a), _known(self.b)
            return [_mean(known_b) - _mean(known_a)] if known_a and known_b else []
        return [y - x for x, y in zip(self.a, self.b, strict=True) if x is not None and y is not None]

    @property
    def difference(self) -> float | None:
        """Mean of `differences`; None without any."""
        return _mean(found) if (found := self.differences) else None

    @property
    def outcomes(self) -> tuple[list[float], list[float]]:
        """The outcomes of both sides that the difference is about."""
        if self.by == "task":
            return _known(self.a), _known(self.b)
        both = [(x, y) for x, y in zip(self.a, self.b, strict=True) if x is not None and y is not None]
        return [x for x, _ in both], [y for _, y in both]

    def worst(self, missing_a: float, missing_b: float) -> float:
        """The difference of the means, if all that is missing had turned out so."""
        a = [missing_a if value is None else value for value in self.a]
        b = [missing_b if value is None else value for value in self.b]
        return _mean(b) - _mean(a)


def pair(a: Side, b: Side, by: By = "seed") -> list[PairedTask]:
    """All tasks of two sides, in the order of their names.

    By seed, both sides must have the same (task, seed) keys; by task, the same tasks. Seeds 0 and "0" are two.
    Raises `UnpairedKeys`, which names some on each side (also for a key that is no such pair), `DuplicateKey`, `EmptyGroup`, `NonFiniteScore` (an outcome outside [0, 1]),
    `ValueError` for another `by`.
    """
    if by not in ("seed", "task"):
        raise ValueError(f'outcomes are paired by "seed" or by "task", not {by!r}')
    first, second = _table(a, "the first side"), _table(b, "the second side")
    _same({task for task, _ in first}, {task for task, _ in second}, "task")
    if by == "seed":
        _same(first.keys(), second.keys(), "(task, seed)")
    grouped: dict[Hashable, tuple[list[Key], list[Key]]] = {}
    for side, table in enumerate((first, second)):
        for key in sorted(table, key=_order):
            grouped.setdefault(key[0], ([], []))[side].append(key)
    return [
        PairedTask(str(task), tuple(first[k] for k in keys[0]), tuple(second[k] for k in keys[1]), by)
        for task, keys in sorted(grouped.items(), key=lambda item: _order(item[0]))
    ]


def _table(side: Side, name: str) -> dict[Key, Outcome]:
    found: dict[Key, Outcome] = {}
    for entry in side.items() if isinstance(side, Mapping) else side:
        key, value = _entry(entry, name)
        if key in found:
            raise DuplicateKey(
                f"{name} has two outcomes for {_shown(key)}: give every seed a name of its own"
            )
        found[key] = None if value is None else _outcome(value, f"{name}, {_shown(key)}")
    if not found:
        raise EmptyGroup(f"{name} has no outcomes: there is nothing to compare")
    return found


def _entry(entry: Any, name: str) -> tuple[Key, Any]:
    """A key and its outcome, or `UnpairedKeys`."""
    try:
        key, value = entry
        hash(key)
        proper = isinstance(key, tuple) and len(key) == 2
    except (TypeError, ValueError):
        proper = False
    if not proper:
        raise UnpairedKeys(f"{name}: {str(entry)[:120]} is no outcome of a (task, seed) key, both hashable")
    return key, value


def _outcome(value: Any, where: str) -> float:
    try:
        return number(value, where, 0.0, 1.0)
    except NonFiniteScore as error:
        raise NonFiniteScore(f"{error}; None is for missing") from None


def _same(first: Collection[Hashable], second: Collection[Hashable], what: str) -> None:
    only_first = sorted(map(_shown, set(first) - set(second)))
    only_second = sorted(map(_shown, set(second) - set(first)))
    if only_first or only_second:
        raise UnpairedKeys(
            f"the two sides do not have the same {what} keys: only the first has {_some(only_first)}; "
            f"only the second has {_some(only_second)}"
        )


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(name[:120] for name in names[:_NAMED]) + more


def _shown(key: Hashable) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _order(key: Hashable) -> tuple[str, str]:
    """By name; what has one name and is not the same (0 and "0") in an order of its own."""
    return _shown(key), repr(key)


def _known(values: tuple[Outcome, ...]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
