"""One result of a benchmark per item, and how its fields are understood.

The names that evaluation programs give to the same things are listed here; what they mean is decided here and
nowhere else: what counts as right, what as cut off. A value that could be either is an error, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError

IDS = ("id", "doc_id", "sample_id", "task_id")
#: In this order; several of the later group in one file have to be chosen between.
PLAIN_OUTCOMES = ("correct", "is_correct", "passed")
METRICS = ("acc", "exact_match", "score")
_EXPECTED = ("expected", "target", "answer")
_TEXTS = ("text", "gen_text", "response", "output", "completion")
_PREDICTED = ("predicted", "prediction")
_TOKENS = ("tokens", "output_tokens", "completion_tokens", "n_tokens")
LIMITS = ("max_tokens", "max_new_tokens", "max_gen_toks")
_REASONS = ("finish_reason", "stop_reason")
_SAMPLES = ("samples", "sc_answers")

_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "incomplete", "truncated"}
_ENDED = {"stop", "eos", "eos_token", "end_turn", "stop_sequence", "tool_calls", "tool_use", "content_filter"}
_RIGHT = {"true", "yes", "correct", "pass", "passed", "c"}
_WRONG = {"false", "no", "incorrect", "fail", "failed", "wrong", "i", "n"}

#: Outputs end within this many tokens of their limit when the limit ended them (an end-of-text token counts).
MARGIN = 2
#: Of a longer text the end is kept: answers stand there.
KEPT_CHARS = 100_000
MOST_ITEMS = 1_000_000
MOST_TEXT = 1 << 30  # characters kept of one file
_SHORTEST_CLIP = 200  # characters


class BadField(ValueError):
    """A field that cannot be understood; the reader adds the file and the line."""


@dataclass(frozen=True)
class Reading:
    """How to read both files. `None` is "not said".

    `metric`, `filter`: which score counts. `threshold`: a graded score counts as right from here on. `epoch`:
    which of several runs of an item is the outcome; the others are its repeats. `max_tokens`: the limit where
    the file has none.
    """

    metric: str | None = None
    filter: str | None = None
    threshold: float | None = None
    epoch: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Raises `ConfigError` for numbers that make no sense."""
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ConfigError(
                f"--threshold {self.threshold}: a finite number, from which on a score is right"
            )
        if self.epoch is not None and self.epoch < 0:
            raise ConfigError(f"--epoch {self.epoch}: the number of a run, 0 or more")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"--max-tokens {self.max_tokens}: at least 1")


@dataclass(frozen=True)
class Item:
    """One item's result. None is not known; `cut_by` says how `truncated` is known."""

    id: str
    correct: bool | None
    truncated: bool | None = None
    cut_by: str = ""
    text: str | None = None
    length: int = 0  # characters of the whole text
    expected: str | None = None
    predicted: str | None = None
    samples: tuple[str | bool, ...] = ()
    limit: int | None = None  # tokens
    fingerprint: str | None = None
    epoch: int | None = None
    where: str = ""


def outcome(value: Any, threshold: float | None, field: str = "the outcome") -> bool | None:
    """Right, wrong, or None for no outcome. A score between 0 and 1 needs the threshold (then >= is right).

    Raises `BadField`, which names the `field`, for anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _RIGHT or word in _WRONG:
            return word in _RIGHT
        try:
            value = {"": None, "p": 0.5}.get(word, word)
            if value is None:
                return None
            value = float(value)
        except ValueError:
            raise BadField(f"{field}: {_short(word)} is not an outcome: use true or false, 1 or 0") from None
    if not isinstance(value, int | float):
        raise BadField(f"{field}: an outcome is true or false or a number, not {type(value).__name__}")
    if not math.isfinite(value):
        raise BadField(f"{field}: an outcome of {value}: not a number that can be counted")
    if threshold is not None:
        return value >= threshold
    if value in (0, 1):
        return value == 1
    raise BadField(
        f"{field}: an outcome of {value:g} is graded, neither right nor wrong: say with --threshold what counts"
    )


def cut_off(row: Mapping[str, Any], limit: int | None) -> tuple[bool | None, str]:
    """(whether the output was cut off, by what that is known) from the row's own fields."""
    if row.get("truncated") not in (None, ""):
        return _truncated(row["truncated"]), "truncated"
    for name in _REASONS:
        reason = row.get(name)
        if isinstance(reason, str) and reason.lower() in _CUT | _ENDED:
            return reason.lower() in _CUT, name
    tokens = first(row, _TOKENS)
    count = len(tokens) if isinstance(tokens, list) else tokens
    if limit is not None and isinstance(count, int) and not isinstance(count, bool):
        return count >= limit - MARGIN, "tokens"
    return None, ""


def _truncated(value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in (True, False):  # 1 and 0 too
        return bool(word)
    if word in ("true", "yes", "1", "false", "no", "0"):
        return word in ("true", "yes", "1")
    told = _short(value) if isinstance(value, str) else _short(str(value))
    raise BadField(f"'truncated' is {told}: use true or false, or leave it out where it is not known")


def mark_clipped(items: list[Item]) -> list[Item]:
    """Mark outputs that look clipped: the longest ones, when several different texts have exactly that length.

    A heuristic for logs without any other sign, and called so ("clipped text"). It only ever adds marks: that
    no such length exists says nothing.
    """
    longest = max((item.length for item in items if item.text is not None), default=0)
    alike = {item.text for item in items if item.length == longest}
    if longest < _SHORTEST_CLIP or len(alike) < 2:
        return items
    return [
        replace(item, truncated=True, cut_by="clipped text")
        if item.truncated is None and item.length == longest
        else item
        for item in items
    ]


def bounded(path: Path, items: Iterable[Item]) -> list[Item]:
    """The items as a list. Raises `ConfigError` when they are too many or their texts too long to hold."""
    kept: list[Item] = []
    size = 0
    for item in items:
        size += len(item.text or "")
        if len(kept) == MOST_ITEMS or size > MOST_TEXT:
            raise ConfigError(
                f"{item.where}: more than {MOST_ITEMS} items, or {MOST_TEXT >> 20} Mi characters, in {path.name}"
            )
        kept.append(item)
    return kept


def item_id(row: Mapping[str, Any]) -> str:
    """The id as text; 7 and "7" are the same item."""
    found = first(row, IDS)
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise BadField(f"no id: expected one of {', '.join(IDS)} (a text or a whole number)")
    return str(found)


def token_limit(row: Mapping[str, Any]) -> int | None:
    """The limit on output tokens that a row or a header tells."""
    found = first(row, LIMITS)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None


def text_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """`text`, `length`, `expected`, `predicted` and `samples` of a row, as far as it has them."""
    whole = _text(first(row, _TEXTS))
    return {
        "text": None if whole is None else whole[-KEPT_CHARS:],
        "length": len(whole or ""),
        "expected": _text(first(row, _EXPECTED)),
        "predicted": _text(first(row, _PREDICTED)),
        "samples": repeats(first(row, _SAMPLES)),
    }


def repeats(given: Any) -> tuple[str | bool, ...]:
    """Repeated answers: flags, answers, or records with `correct` or an answer. Anything else is no repeat."""
    if not isinstance(given, list):
        return ()
    found: list[str | bool] = []
    for each in given:
        told = each
        if isinstance(each, Mapping):
            right = first(each, PLAIN_OUTCOMES)
            told = right if isinstance(right, bool) else first(each, (*_PREDICTED, "answer", *_TEXTS))
        if isinstance(told, bool):
            found.append(told)
        elif (answer := _text(told)) is not None:
            found.append(answer[-KEPT_CHARS:])
    return tuple(found)


def first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these fields that is there and not null; 0, "" and False are there."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | None) or not isinstance(value, int | float):
        return None
    return str(value)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
