"""Reading per-item results: plain JSON and JSON lines, lm-evaluation-harness samples, inspect logs.

The format is told from the content, never from the name. Files are untrusted: nothing in them is executed or
followed as a path, lines, documents and numbers of items are bounded, and what cannot be understood is one
`ConfigError` with file and line.

lm-evaluation-harness writes one line for each document and filter (`samples_<task>_<date>.jsonl`, with
`--log_samples`); it logs neither tokens nor why an output ended, so truncation is not known from it, except for
tasks that generate nothing (log-likelihoods).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .claim_files import is_inspect, rows
from .claim_inspect import read_eval_zip, read_inspect_json
from .claim_items import (
    METRICS,
    PLAIN_OUTCOMES,
    BadField,
    Item,
    Reading,
    bounded,
    cut_off,
    item_id,
    mark_clipped,
    outcome,
    text_fields,
    token_limit,
)

_MOST_RESULTS_BYTES = 64 << 20
_HEADERS = ("meta", "metadata", "config", "args", "params")


@dataclass(frozen=True)
class Results:
    """The items of one file, by id, and what they were read from."""

    path: str
    format: str
    metric: str
    items: dict[str, Item]
    filter: str = ""
    #: what could be chosen with --metric and --filter
    scores: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()


def read_results(path: Path, reading: Reading | None = None) -> Results:
    """Read one file of per-item results. Raises `ConfigError`, with file and line, for all it cannot use."""
    reading = reading or Reading()
    _refuse_directories(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
        found = _inspected(read_eval_zip(path, reading)) if zipped else _read_text(path, reading)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not found.items:
        raise ConfigError(f"{path}: no items in it")
    items = _one_each(path, mark_clipped(found.items), reading)
    return Results(str(path), found.format, found.metric, items, found.filter, found.scores, found.filters)


@dataclass(frozen=True)
class _Read:
    format: str
    metric: str
    items: list[Item]
    scores: frozenset[str]
    filter: str = ""
    filters: frozenset[str] = frozenset()


def _inspected(found: tuple[str, str, list[Item], frozenset[str]]) -> _Read:
    return _Read(*found)


def _refuse_directories(path: Path) -> None:
    if (path / "branches").is_dir():
        raise ConfigError(f"{path}: a run of this project; `rollouts compare RUN_A RUN_B` compares runs")
    if path.is_dir():
        raise ConfigError(f"{path}: a directory; give one file of per-item results, as samples_*.jsonl")


def _read_text(path: Path, reading: Reading) -> _Read:
    header, found = rows(path)
    if is_inspect(header):
        return _inspected(read_inspect_json(path, header, reading))
    limit = next(
        (n for n in (*_limits(header), _results_limit(path), reading.max_tokens) if n is not None), None
    )
    scores = _Scores(path, reading)
    first_row = next(found, None)
    lm_eval = first_row is not None and _is_lm_eval(first_row[1])
    make = _lm_eval_item if lm_eval else _plain_item

    def items() -> Iterator[Item]:
        for where, row in chain([first_row] if first_row else [], found):
            if "lineage" in row and "schema_version" in row:
                raise ConfigError(
                    f"{where}: a branch record; `rollouts compare RUN_A RUN_B` compares runs of this project"
                )
            if scores.other_filter(row):
                continue
            try:
                yield make(row, scores, limit, where)
            except BadField as error:
                raise ConfigError(f"{where}: {error}") from None

    kept = bounded(path, items())
    scores.check_filters()
    program = "lm-evaluation-harness" if lm_eval else "plain"
    filters = frozenset(scores.filters)
    chosen = reading.filter if reading.filter in filters else next(iter(filters), "")
    return _Read(program, scores.label(), kept, frozenset(scores.names), chosen, filters)


def _is_lm_eval(row: Mapping[str, Any]) -> bool:
    return "doc_id" in row and bool({"resps", "filtered_resps", "doc_hash"} & row.keys())


def _plain_item(row: Mapping[str, Any], scores: _Scores, limit: int | None, where: str) -> Item:
    limit = token_limit(row) or limit
    truncated, cut_by = cut_off(row, limit)
    epoch = row.get("epoch")
    return Item(
        id=item_id(row),
        correct=scores.of(row),
        truncated=truncated,
        cut_by=cut_by,
        limit=limit,
        epoch=epoch if isinstance(epoch, int) else None,
        where=where,
        **text_fields(row),
    )


def _lm_eval_item(row: Mapping[str, Any], scores: _Scores, limit: int | None, where: str) -> Item:
    arguments = row.get("arguments")
    settings = _generation(arguments)
    item = Item(id=item_id(row), correct=scores.of(row), where=where)
    target = text_fields({"expected": row.get("target")})["expected"]
    fingerprint = row.get("doc_hash")
    item = replace(item, expected=target, fingerprint=fingerprint if isinstance(fingerprint, str) else None)
    if settings is None and _scores_choices(arguments):
        return replace(item, truncated=False, cut_by="nothing generated")
    limit = token_limit(settings or {}) or limit
    truncated, cut_by = cut_off(row, limit)
    fields = text_fields(
        {"text": _innermost(row.get("resps")), "predicted": _innermost(row.get("filtered_resps"))}
    )
    return replace(
        item,
        truncated=truncated,
        cut_by=cut_by,
        limit=limit,
        text=fields["text"],
        length=fields["length"],
        predicted=fields["predicted"],
    )


class _Scores:
    """Which field of a row is its score: chosen once for a file, an error where several would do."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path = path
        self._reading = reading
        self._name: str | None = None
        self.filters: dict[str, None] = {}
        self.names: set[str] = set()  # of all scores that every row with one has

    def of(self, row: Mapping[str, Any]) -> bool | None:
        """The outcome of a row; None for a row that tells an error, whatever score stands beside it."""
        if _failed(row.get("error")):
            return None
        name = self._name or self._choose(row)
        if name is None or name not in row:
            if row.get("error"):
                return None
            wanted = name or self._reading.metric or "correct"
            has = ", ".join(sorted(map(str, row))[:12])
            raise BadField(f"no outcome: no field {wanted!r} (it has {has}); --metric names another one")
        self.names = self.names & _scores_of(row) if self._name else _scores_of(row)
        self._name = name
        return outcome(row[name], self._reading.threshold, f"{name!r}")

    def other_filter(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of lm-evaluation-harness belongs to a filter that was not asked for."""
        name = row.get("filter")
        if not isinstance(name, str):
            return False
        self.filters.setdefault(name)
        return self._reading.filter is not None and name != self._reading.filter

    def check_filters(self) -> None:
        """Raise where the file has several filters and none was chosen, or not the one that was."""
        known = ", ".join(self.filters)
        if self._reading.filter is None and len(self.filters) > 1:
            raise ConfigError(f"{self._path}: several filters ({known}): choose with --filter")
        if self._reading.filter is not None and self.filters and self._reading.filter not in self.filters:
            raise ConfigError(f"{self._path}: no filter {self._reading.filter!r}; it has {known}")

    def label(self) -> str:
        """The field that counted, for the report."""
        return self._name or ""

    def _choose(self, row: Mapping[str, Any]) -> str | None:
        asked, filtered = self._reading.metric, self._reading.filter
        if asked is not None:
            exact = [name for name in (asked, f"{asked},{filtered}") if name in row]
            suffixed = [name for name in row if name.partition(",")[0] == asked]
            choices = exact[:1] or suffixed
        else:
            plain = [name for name in PLAIN_OUTCOMES if name in row]
            listed = row.get("metrics")
            named = (
                [name for name in listed if isinstance(name, str) and name in row]
                if isinstance(listed, list)
                else []
            )
            scores = [name for name in row if name.partition(",")[0] in METRICS]
            if filtered is not None:
                scores = [name for name in scores if name.partition(",")[2] in ("", filtered)]
            choices = plain[:1] or named or scores
        if len(choices) > 1:
            raise BadField(f"several scores ({', '.join(sorted(choices))}): choose with --metric or --filter")
        return choices[0] if choices else None


def _failed(error: Any) -> bool:
    """A field `error` that tells one; a number under that name is a measure."""
    return error is True or (isinstance(error, str | dict | list) and bool(error))


def _scores_of(row: Mapping[str, Any]) -> set[str]:
    listed = row.get("metrics")
    named = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    known = {*PLAIN_OUTCOMES, *METRICS, *named}
    return {plain for name in row if (plain := name.partition(",")[0]) in known}


def _one_each(path: Path, items: list[Item], reading: Reading) -> dict[str, Item]:
    """By id. Several runs of an item are told apart by their epoch, or are an error."""
    grouped: dict[str, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.id, []).append(item)
    found = {}
    for name, runs in grouped.items():
        epochs = [run.epoch for run in runs]
        if len(set(epochs)) < len(runs):
            twice = next(run for i, run in enumerate(runs) if run.epoch in epochs[:i])
            raise ConfigError(f"{twice.where}: item {name[:40]!r} is there twice (also {runs[0].where})")
        if len(runs) > 1 and reading.epoch is None:
            some = ", ".join(str(epoch) for epoch in sorted(e for e in epochs if e is not None)[:8])
            raise ConfigError(
                f"{path}: item {name[:40]!r} was run {len(runs)} times (epochs {some}): --epoch N takes one of them as "
                "the outcome, and the others as its repeats"
            )
        chosen = runs[0]
        if reading.epoch is not None and epochs != [None]:
            match = next((run for run in runs if run.epoch == reading.epoch), None)
            if match is None:
                raise ConfigError(f"{path}: item {name[:40]!r} has no epoch {reading.epoch}")
            others = [run.correct for run in runs if run is not match and run.correct is not None]
            chosen = replace(match, samples=tuple(others) or match.samples)
        found[name] = chosen
    return found


def _limits(header: Mapping[str, Any]) -> Iterator[int | None]:
    yield token_limit(header)
    for name in _HEADERS:
        if isinstance(header.get(name), dict):
            yield token_limit(header[name])


def _results_limit(path: Path) -> int | None:
    """The limit in the `results_<date>.json` that lm-evaluation-harness writes beside its samples, if it is one."""
    date = re.fullmatch(r"samples_.+_(\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl", path.name)
    beside = path.with_name(f"results_{date.group(1)}.json") if date else None
    if beside is None or not beside.is_file() or beside.stat().st_size > _MOST_RESULTS_BYTES:
        return None
    try:
        configs = json.loads(beside.read_bytes()).get("configs", {}).values()
        limits = {token_limit(config.get("generation_kwargs") or {}) for config in configs}
    except (ValueError, AttributeError, RecursionError):
        return None  # only a help: what is not as expected tells nothing
    return limits.pop() if len(limits) == 1 else None


def _generation(arguments: Any) -> dict[str, Any] | None:
    """The generation settings of a logged request: its second argument, when that is a mapping."""
    call = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    settings = call.get("arg_1") if isinstance(call, dict) else None
    return settings if isinstance(settings, dict) else None


def _scores_choices(arguments: Any) -> bool:
    """A request for a log-likelihood: its second argument is the text whose likelihood is asked."""
    call = arguments.get("gen_args_0") if isinstance(arguments, dict) else None
    return isinstance(call, dict) and isinstance(call.get("arg_1"), str)


def _innermost(responses: Any) -> Any:
    """The first response; `resps` is a list for each request of a list for each repeat."""
    for _ in range(3):
        if isinstance(responses, list):
            responses = responses[0] if responses else None
    return responses
