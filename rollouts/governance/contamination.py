"""Whether training text holds evaluation items: containment of word and character runs, with the places.

An evaluation text is found when enough of its runs of eight words occur in one training item, wherever they stand and
in whatever order; measured is the share of the *evaluation* text, so that words around it change nothing. Both sides
are folded first (`normal_text`). Beside words, runs of twenty letters and digits are compared, with nothing between
them: for texts of few words, and for words torn apart by spaces or marks. What is too short for either is compared
whole. The evaluation side is indexed, training text passes by, and every hit is checked on the texts themselves.

A paraphrase or a translation is not found, nor are changed numbers or names beyond the share that stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from ..errors import ConfigError
from .gram_table import GramTable
from .matching import UNITS, Kind, Match, Side, Span, match
from .ngrams import Ints, grams
from .normal_text import fold

Standing = Literal["contaminated", "partial"]
#: A text of which only a part is found is contaminated by so many runs' length or more: "returns the number of" is
#: half of many a sentence. Less is told as partial; a text that is there as a whole needs no more.
EVIDENCE = {"words": 1.5, "characters": 2.5}
#: Where an item has its question; what is compared whole is taken from here first, not from the notes beside it.
ASKING = ("question", "prompt", "task", "instruction", "problem", "text", "input", "query", "content")
#: Of those, the names whose text asks even where it is short, and tells items apart.
_NAMED = ("question", "problem", "input", "query", "prompt", "instruction")
#: Folded at a time, in characters; the arrays for them take about 100 bytes a character.
BATCH = 1_000_000


@dataclass(frozen=True)
class Passage:
    """One text of an item."""

    field: str  #: where in the item: "question", "message 3"
    text: str


@dataclass(frozen=True)
class Item:
    """One item of either side. Untrusted."""

    id: str
    at: str  #: where it was read: "train.jsonl:17"
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Settings:
    """What counts as the same text."""

    words: int = 8
    characters: int = 20
    threshold: float = 0.5  #: contaminated: so much of an evaluation text, or more, is in one training item
    partial: float = 0.2
    #: A run in more evaluation items than this is boilerplate and counts neither way; None: see `common_limit`.
    common: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.words <= 100 or not 4 <= self.characters <= 400:
            raise ConfigError(
                f"runs of {self.words} words and {self.characters} characters: 2 to 100 and 4 to 400"
            )
        if not (0 < self.partial <= self.threshold <= 1):  # also refuses NaN
            raise ConfigError(
                f"threshold {self.threshold:g}, partial {self.partial:g}: 0 < partial <= threshold <= 1"
            )
        if self.common is not None and self.common < 1:
            raise ConfigError(f"common {self.common}: at least 1 item")

    def common_limit(self, items: int) -> int:
        """1 % of the evaluation items, at most 50, at least 10; in a small set half of it, at least 2."""
        return self.common or max(2, min(10, items // 2), min(50, items // 100))


@dataclass(frozen=True)
class Hit:
    """An evaluation text that a training item holds."""

    test_id: str
    test_at: str
    test_field: str
    train_id: str
    train_at: str
    train_field: str  #: which holds most of it
    kind: Kind
    containment: float
    standing: Standing
    spans: tuple[Span, ...]  #: `Span.text` is the index of the training item's passage
    train_fields: tuple[str, ...]  #: one per span
    excerpt: str  #: the longest span, in the evaluation text's words, shortened, printable

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        spans = [
            {"test": list(span.test), "train_field": field, "train": list(span.train)}
            for span, field in zip(self.spans, self.train_fields, strict=True)
        ]
        plain = {key: value for key, value in vars(self).items() if key not in ("train_fields", "spans")}
        return {**plain, "containment": round(self.containment, 4), "spans": spans}


class EvaluationIndex:
    """Evaluation items, ready to be looked for."""

    def __init__(self, items: Iterable[Item], settings: Settings | None = None) -> None:
        """Raises `ConfigError` without an item."""
        self.settings = settings or Settings()
        self.items: list[Item] = []
        self.copies: list[list[Item]] = []  #: per item: others with exactly the same texts
        self._texts: list[tuple[int, Passage]] = []  # every text, with the index of its item
        self._folds: list[bytes] = []  # of every text: equal for texts that are equal when folded
        self._tables = {kind: GramTable(sampled=kind == "characters") for kind in UNITS}
        self._read(items)
        if not self.items:
            raise ConfigError("no evaluation items: nothing to look for")
        owners = np.array([item for item, _ in self._texts], dtype=np.int64)
        counted, different = counted_as(self._texts, self._folds)
        limit = self.settings.common_limit(different)
        for table in self._tables.values():
            table.finish(counted, limit)
        self.common_runs = sum(len(table.common) for table in self._tables.values())
        self._brief = ~self._tables["words"].has_runs  # fewer words than a run has
        any_run = np.any([table.has_runs for table in self._tables.values()], axis=0)
        own_run = np.any([table.totals > 0 for table in self._tables.values()], axis=0)
        some = np.bincount(owners, weights=any_run, minlength=len(self.items)) > 0
        own = np.bincount(owners, weights=own_run, minlength=len(self.items)) > 0
        #: Items without a single run, and those whose runs are all common: compared whole, and only so.
        self.too_short = np.flatnonzero(~some).tolist()
        self.only_common = np.flatnonzero(some & ~own).tolist()
        self._whole = self._compared_whole({*self.too_short, *self.only_common}, limit)
        # A short note beside a text that was left out ("run 3") stands for nothing.
        compared = {
            self._texts[text][0]
            for texts in self._whole.values()
            for text in texts
            if not some[self._texts[text][0]] or any_run[text] or field_name(self._texts[text][1]) in _NAMED
        }
        #: Of those, the ones with nothing of their own even then.
        self.not_compared = sorted({*self.too_short, *self.only_common} - compared)

    def find(
        self, training: Iterable[Item], enough: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Hit]]:
        """(index of the evaluation item, hit) for every evaluation text that a training item holds, or part of it.

        Training items may be a stream of any length. Evaluation items in `enough` are passed over.
        """
        for batch in _batches(training):
            owners = np.array([i for i, item in enumerate(batch) for _ in item.passages], dtype=np.int64)
            folded = [fold(passage.text) for item in batch for passage in item.passages]
            yield from self._equal(batch, folded)
            found: dict[tuple[int, int], list[Kind]] = {}
            for kind in self._tables:
                for i, text in self._candidates(kind, folded, owners):
                    found.setdefault((i, text), []).append(kind)
            sides: dict[tuple[int, Kind], Side] = {}
            for (i, text), kinds in sorted(found.items()):
                of = self._texts[text][0]
                if of not in enough and (hit := self._checked(i, batch[i], text, kinds, sides)):
                    yield of, hit

    def scattered(self) -> list[tuple[int, str, float]]:
        """(item, field, share) of texts of which the training text looked at so far has a share over the threshold.

        Pieces may come from any number of training items.
        """
        coverage = self._tables["words"].coverage()
        wide = np.flatnonzero(coverage >= self.settings.threshold).tolist()
        return [(self._texts[at][0], self._texts[at][1].field, float(coverage[at])) for at in wide]

    def _read(self, items: Iterable[Item]) -> None:
        known: dict[tuple[str, ...], int] = {}
        for batch in _batches(items):
            first, folded = len(self._texts), list[str]()
            for item in batch:
                key = tuple(passage.text for passage in item.passages)
                if (at := known.setdefault(key, len(self.items))) < len(self.items):
                    self.copies[at].append(item)
                    continue
                self._texts += [(at, passage) for passage in item.passages]
                texts = [fold(passage.text) for passage in item.passages]
                folded += texts
                self._folds += [_digest(text) for text in texts]
                self.items.append(item)
                self.copies.append([])
            for kind, table in self._tables.items():
                table.add(grams(UNITS[kind](folded), self._n(kind)), first)

    def _n(self, kind: Kind) -> int:
        return self.settings.words if kind == "words" else self.settings.characters

    def _candidates(self, kind: Kind, folded: list[str], owners: Ints) -> Iterator[tuple[int, int]]:
        """(training item, evaluation text) worth a closer look: half of what counts, for the share is an estimate."""
        found = grams(UNITS[kind](folded), self._n(kind))
        items, texts, shares = self._tables[kind].shares(replace(found, owners=owners[found.owners]))
        worth = shares >= np.where(self._brief[texts], 1.0, self.settings.partial / 2)
        return zip(items[worth].tolist(), texts[worth].tolist(), strict=True)

    def _checked(
        self, i: int, item: Item, text: int, kinds: Sequence[Kind], sides: dict[tuple[int, Kind], Side]
    ) -> Hit | None:
        best: Match | None = None
        for kind in kinds:
            if (i, kind) not in sides:
                sides.clear()  # candidates come item by item
                sides[i, kind] = Side([passage.text for passage in item.passages], kind, self._n(kind))
            test = Side([self._texts[text][1].text], kind, self._n(kind))
            found = match(test, sides[i, kind], self._tables[kind].own(test.grams.hashes))
            best = found if best is None or found.containment > best.containment else best
            if best.containment >= self.settings.threshold:
                break
        # Few words occur together by chance: of a text that has no more, all must be there.
        needed = 1.0 if self._brief[text] else self.settings.partial
        return self._hit(item, text, best) if best and best.containment >= needed else None

    def _hit(self, item: Item, text: int, found: Match) -> Hit:
        of, passage = self._texts[text]
        enough = found.containment == 1.0 or found.units >= EVIDENCE[found.kind] * self._n(found.kind)
        longest = max(found.spans, key=lambda span: span.test[1] - span.test[0])
        return Hit(
            test_id=self.items[of].id,
            test_at=self.items[of].at,
            test_field=passage.field,
            train_id=item.id,
            train_at=item.at,
            train_field=item.passages[longest.text].field,
            kind=found.kind,
            containment=found.containment,
            standing="contaminated" if enough and found.containment >= self.settings.threshold else "partial",
            spans=found.spans,
            train_fields=tuple(item.passages[span.text].field for span in found.spans),
            excerpt=printable(passage.text[longest.test[0] : longest.test[1]]),
        )

    def _compared_whole(self, items: Collection[int], limit: int) -> dict[str, list[int]]:
        """What each of these items is known by: of the texts that few others have, its question, or the longest."""
        keys: dict[int, list[tuple[str, int]]] = {item: [] for item in items}
        for text, (item, passage) in enumerate(self._texts):
            if item in keys and (key := _whole(fold(passage.text))):
                keys[item].append((key, text))
        count = Counter(key for pairs in keys.values() for key in {key for key, _ in pairs})
        known: dict[str, list[int]] = {}
        for pairs in keys.values():
            if own := [pair for pair in pairs if count[pair[0]] <= limit]:
                key, text = max(own, key=lambda pair: (_asks(self._texts[pair[1]][1]), len(pair[0])))
                known.setdefault(key, []).append(text)
        return known

    def _equal(self, batch: Sequence[Item], folded: Sequence[str]) -> Iterator[tuple[int, Hit]]:
        places = ((item, number) for item in batch for number in range(len(item.passages)))
        for (item, number), text in zip(places, folded, strict=True):
            for of in self._whole.get(_whole(text), ()) if self._whole else ():
                here, there = self._texts[of][1].text, item.passages[number].text
                whole = Span((0, len(here)), number, (0, len(there)))
                yield self._texts[of][0], self._hit(item, of, Match("equal", 1.0, len(text), (whole,)))


def printable(text: str, most: int = 160) -> str:
    """Somebody else's text for one line of a terminal or a table: no control or formatting characters, shortened."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[:most]}…"


def counted_as(texts: Sequence[tuple[int, Passage]], folds: Sequence[bytes]) -> tuple[Ints, int]:
    """(per text, the item as whose it counts when runs are counted; how many items ask something different).

    A question that stands in the set again for every epoch or sample is one text, not boilerplate: equal texts
    count as those of the first item that has them. A frame around other questions stays one text an item: what
    more than half of the items have, or what stands beside a named question of the item's own. Items that ask the
    same are one item for it.
    """
    below: dict[int, list[int]] = {}
    for text, (item, _) in enumerate(texts):
        below.setdefault(item, []).append(text)
    held = Counter(fold for own in below.values() for fold in {folds[text] for text in own})
    first_text: dict[bytes, int] = {}
    first_asked: dict[tuple[bytes, ...], int] = {}
    asked: dict[int, int] = {}
    for item, own in below.items():
        asking = [text for text in own if _asks(texts[text][1])] or own
        asked[item] = first_asked.setdefault(tuple(folds[text] for text in asking), item)
        for text in own:
            first_text.setdefault(folds[text], item)
    few = Settings().common_limit(len(first_asked))
    counted = np.zeros(len(texts), dtype=np.int64)
    for item, own in below.items():
        named = {field_name(texts[t][1]) for t in own if held[folds[t]] <= few} & {*_NAMED}
        for text in own:
            beside = bool(named - {field_name(texts[text][1])}) and held[folds[text]] > few
            frame = beside or 2 * held[folds[text]] > len(below)
            counted[text] = asked[item] if frame else first_text[folds[text]]
    return counted, len(first_asked)


def field_name(passage: Passage) -> str:
    """The last name in the path of a field: "question" of "doc.question[0]"."""
    return passage.field.split(".")[-1].split("[")[0]


def _asks(passage: Passage) -> bool:
    return field_name(passage) in ASKING


def _digest(folded: str) -> bytes:
    return blake2b(_whole(folded).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _whole(folded: str) -> str:
    """A folded text without its spaces, signs included."""
    return "".join(folded.split())


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in groups of about `BATCH` characters."""
    batch, size = list[Item](), 0
    for item in items:
        batch.append(item)
        size += sum(len(passage.text) for passage in item.passages)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
