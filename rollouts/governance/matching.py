"""One evaluation text against one training item, exactly: which passages are the same, and where they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from .ngrams import Grams, Units, character_units, grams, word_units
from .normal_text import fold, fold_with_offsets

Kind = Literal["words", "characters", "equal"]

UNITS: Final[dict[Kind, Callable[[Sequence[str]], Units]]] = {
    "words": word_units,
    "characters": character_units,
}

#: Of a passage that a training item repeats, so many places are tried for the longest.
PLACES = 8


@dataclass(frozen=True)
class Span:
    """The same passage on both sides, as (start, end) in characters of the original texts."""

    test: tuple[int, int]
    text: int  #: which of the training item's texts
    train: tuple[int, int]


@dataclass(frozen=True)
class Match:
    """How much of an evaluation text a training item holds."""

    kind: Kind
    containment: float  #: share of the evaluation text's own runs, each counted once, in [0, 1]
    units: int  #: of the evaluation text that are within the spans
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class _Run:
    """Equal runs of units: `length` units from `test` and from `train` on."""

    test: int
    train: int
    length: int


def match(test: Side, train: Side, own: NDArray[np.bool_]) -> Match:
    """Compare by the runs of two sides. Only the evaluation text's runs that are its `own` count, for and against.

    `test` has one text. Spans are as long as the texts agree, in the order of the evaluation text. Of a passage that
    the training item repeats, one place is told.
    """
    covered = np.zeros(len(own), dtype=bool)
    units = np.zeros(len(test.units.values), dtype=bool)
    spans = []
    for run in _runs(test, train):
        at = slice(run.test, run.test + run.length - test.n + 1)
        if own[at].any() and test.units_at(run.test, run.length) == train.units_at(run.train, run.length):
            covered[at] = True
            units[run.test : run.test + run.length] = True
            _, here = test.original(run.test, run.length)
            text, there = train.original(run.train, run.length)
            spans.append(Span(here, text, there))
    runs = test.grams.hashes  # a run that the text repeats counts once
    share = len(np.unique(runs[covered & own])) / len(np.unique(runs[own])) if own.any() else 0.0
    return Match(test.kind, share, int(units.sum()), tuple(spans))


class Side:
    """The texts of one side, cut into units and runs."""

    def __init__(self, texts: Sequence[str], kind: Kind, n: int) -> None:
        self.kind, self.n = kind, n
        self._texts, self._folded = texts, [fold(text) for text in texts]
        self._joined = "\n".join(self._folded)
        self.units = UNITS[kind](self._folded)
        self.grams: Grams = grams(self.units, n)

    def units_at(self, first: int, length: int) -> list[str]:
        """The units themselves."""
        starts, ends = self.units.starts[first : first + length], self.units.ends[first : first + length]
        return [self._joined[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]

    def original(self, first: int, length: int) -> tuple[int, tuple[int, int]]:
        """Which text, and where in it as it was given."""
        text = int(self.units.owners[first])
        base = sum(len(folded) + 1 for folded in self._folded[:text])
        start, end = int(self.units.starts[first]) - base, int(self.units.ends[first + length - 1]) - base
        if self._texts[text].isascii() and len(self._texts[text]) == len(self._folded[text]):
            return text, (start, end)
        offsets = fold_with_offsets(self._texts[text])[1]
        return text, (int(offsets[start]), int(offsets[end - 1]) + 1)


def _runs(ours: Side, theirs: Side) -> Iterator[_Run]:
    """Equal runs, from the start of the evaluation text to its end; each as long as it goes."""
    ask, have, first = ours.grams.hashes.tolist(), theirs.grams.hashes.tolist(), theirs.grams.first.tolist()
    places: dict[int, list[int]] = defaultdict(list)
    for at in np.flatnonzero(np.isin(theirs.grams.hashes, ours.grams.hashes)).tolist():
        places[have[at]].append(at)

    def reach(i: int, j: int) -> int:
        k = 1
        while (
            i + k < len(ask)
            and j + k < len(have)
            and ask[i + k] == have[j + k]
            and first[j + k] == first[j] + k
        ):
            k += 1
        return k

    i = 0
    while i < len(ask):
        reached = 1
        if found := places.get(ask[i], [])[:PLACES]:
            reached, j = max(((reach(i, j), j) for j in found), key=lambda pair: (pair[0], -pair[1]))
            yield _Run(i, first[j], reached + ours.n - 1)
        i += reached
