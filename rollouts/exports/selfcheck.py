"""The contract of every exporter, as code: run it on your own.

problems = check_exporter(MyExporter(), rollouts)
assert not problems, problems

`rollouts` are lists of admitted branches, one list per rollout and by index within it, from your own runs:
what `Gate().admit(record)` let through of `load(RUN).branches()`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from ..governance import Admitted
from ..store import dump_json
from .exporter import Exporter, Row
from .files import FILES
from .rollout import Rollout

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
}


def check_exporter(exporter: Exporter, rollouts: Sequence[Sequence[Admitted]]) -> list[str]:
    """What breaks the contract, one sentence each; empty when nothing does. Raises `ValueError` without material."""
    if not any(rollouts):
        raise ValueError("the check needs at least one rollout with an admitted branch")
    problems = []
    if not exporter.name.isidentifier():
        problems.append(f"the name becomes a file name and must be one word, not {exporter.name!r}")
    if not exporter.formats or not set(exporter.formats) <= set(FILES):
        problems.append(
            f"formats are some of {', '.join(FILES)}, not {', '.join(exporter.formats) or 'none'}"
        )
    if unknown := set(exporter.columns.values()) - set(_TYPES):
        problems.append(f"columns are {', '.join(_TYPES)}, not {', '.join(sorted(unknown))}")
        return problems
    if list(exporter.rows(Rollout.of(()), Counter())):
        problems.append("an empty rollout gives no rows")
    for rollout in rollouts:
        problems += _one(exporter, rollout)
    return sorted(set(problems))


def _one(exporter: Exporter, rollout: Sequence[Admitted]) -> list[str]:
    before = [each.record.model_dump_json() for each in rollout]
    excluded: Counter[str] = Counter()
    rows = list(exporter.rows(Rollout.of(rollout), excluded))
    again: Counter[str] = Counter()
    problems = [problem for row in rows for problem in _row(exporter, row)]
    if not problems and _text(exporter.rows(Rollout.of(rollout), again)) != _text(rows):
        problems.append("the same rollout gives the same rows in the same order")
    if again != excluded and not problems:
        problems.append("the same rollout gives the same counts of what was left out")
    if [each.record.model_dump_json() for each in rollout] != before:
        problems.append("records are left as they are")
    if rollout and not rows and not excluded:
        problems.append("what gives no row is counted under its reason")
    if any(not reason or count < 1 for reason, count in excluded.items()):
        problems.append("a reason is a text, counted at least once")
    return problems


def _row(exporter: Exporter, row: Row) -> Iterator[str]:
    try:
        if json.loads(dump_json(row)) != row:
            yield "rows are plain JSON data and come back equal"
    except (TypeError, ValueError) as error:
        yield f"rows are plain JSON data: {error}"
    for name, kind in exporter.columns.items():
        value = row.get(name)
        right = isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "bool")
        if value is not None and not right:
            yield f"column {name} holds {kind} or nothing, not {type(value).__name__}"


def _text(rows: Iterator[Row] | list[Row]) -> list[bytes]:
    return [dump_json(row) for row in rows]
