"""How fast contamination is found, how it grows, and what is found and what is not.

    python scripts/bench_contamination.py [--sizes 4000,20000,100000] [--json]

Texts are made up: words of a vocabulary of 30,000 drawn by Zipf's law, in sentences, 400 characters an item, a fifth of
the items on either side behind one of five instructions they share. One percent of the evaluation items are planted in
the training items, in each of the ways below in turn. Every size runs in a process of its own, so that its peak of
memory is its own; making the texts is not timed.

Measured are the seconds for N x N items, what time an item takes more at the largest size than at the smallest, the
peak of memory beyond the texts, the share of planted items found as contaminated, by kind, and the others reported (false alarms).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from multiprocessing import get_context

from rollouts.audits import audit_contamination
from rollouts.governance import Item, Passage

Row = tuple[str, float, float | None, str]

VOCABULARY, CHARACTERS = 30_000, 400
LOOKALIKES = str.maketrans("aceopxyABEKMHOPCTX", "асеорхуАВЕКМНОРСТХ")


class Writer:
    """Makes texts up."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(20)  # one vocabulary for all
        self.rng = random.Random(seed)
        self._words = [
            "".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 10))) for _ in range(VOCABULARY)
        ]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))
        self.instructions = [self.sentences(120) for _ in range(5)]

    def words(self, count: int) -> list[str]:
        """By Zipf's law."""
        return self.rng.choices(self._words, cum_weights=self._weights, k=count)

    def sentences(self, characters: int) -> str:
        """About so many characters."""
        found, size = list[str](), 0
        while size < characters:
            sentence = " ".join(self.words(self.rng.randint(6, 18))).capitalize() + "."
            found.append(sentence)
            size += len(sentence) + 1
        return " ".join(found)

    def item(self) -> str:
        """One text, behind an instruction every fifth time."""
        start = self.rng.choice(self.instructions) + "\n\n" if self.rng.random() < 0.2 else ""
        return start + self.sentences(CHARACTERS - len(start))


def verbatim(writer: Writer, text: str) -> str:
    """Inside an answer of 400 other words."""
    return f"{' '.join(writer.words(200))} {text} {' '.join(writer.words(200))}"


def capitals_and_spaces(writer: Writer, text: str) -> str:
    """In capitals, with other white space."""
    return text.upper().replace(" ", " \n ")


def lookalikes(writer: Writer, text: str) -> str:
    """Every letter that has a Cyrillic twin is replaced by it."""
    return text.translate(LOOKALIKES)


def zero_width(writer: Writer, text: str) -> str:
    """A zero-width character after every third one."""
    return "".join(char + "\u200b" * (at % 3 == 0) for at, char in enumerate(text))


def spaced_out(writer: Writer, text: str) -> str:
    """Letters apart."""
    return " ".join(text)


def reordered(writer: Writer, text: str) -> str:
    """Its sentences in another order."""
    parts = text.split(". ")
    writer.rng.shuffle(parts)
    return ". ".join(parts)


def three_quarters(writer: Writer, text: str) -> str:
    """The last quarter is missing."""
    return text[: len(text) * 3 // 4] + " ".join(writer.words(40))


def edited(writer: Writer, text: str) -> str:
    """Every fifteenth word is another."""
    return " ".join(writer.words(1)[0] if at % 15 == 7 else word for at, word in enumerate(text.split()))


def a_third(writer: Writer, text: str) -> str:
    """Two thirds are missing: to be told as partial."""
    return " ".join(writer.words(30)) + " " + text[-len(text) // 3 :] + " " + " ".join(writer.words(30))


KINDS: tuple[Callable[[Writer, str], str], ...] = (
    *(
        verbatim,
        capitals_and_spaces,
        lookalikes,
        zero_width,
        spaced_out,
        reordered,
        three_quarters,
        edited,
        a_third,
    ),
)


@dataclass
class Found:
    """One size."""

    size: int
    seconds: float
    megabytes: float  #: more than the texts of both sides, which were made before
    recall: dict[str, float]
    partial: dict[str, float]
    false_alarms: int
    false_partial: int


@dataclass
class _World:
    test: list[Item] = field(default_factory=list)
    train: list[Item] = field(default_factory=list)
    planted: dict[str, str] = field(default_factory=dict)  #: evaluation id -> kind


def make(size: int, seed: int = 1) -> _World:
    """So many items on both sides, one in a hundred planted."""
    writer, world = Writer(seed), _World()
    for number in range(size):
        text = writer.item()
        world.test.append(Item(f"test-{number}", "", (Passage("question", text),)))
        other = writer.item()
        if number % 100 == 50:
            kind = KINDS[number // 100 % len(KINDS)]
            world.planted[f"test-{number}"] = kind.__name__
            other = kind(writer, text)
        where = ("text", "prompt", "messages[2].content")[number % 3]
        world.train.append(Item(f"train-{number}", "", (Passage(where, other),)))
    writer.rng.shuffle(world.train)
    return world


def measure(size: int) -> Found:
    """One audit."""
    world = make(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    audit = audit_contamination(world.test, iter(world.train))
    seconds = time.perf_counter() - begin
    standing = {hit.test_id: hit.standing for hit in reversed(audit.hits)}  # the best of an item comes first
    kinds = defaultdict(list)
    for name, kind in world.planted.items():
        kinds[kind].append(standing.get(name))
    others = [standing[name] for name in standing if name not in world.planted]
    return Found(
        size=size,
        seconds=seconds,
        megabytes=(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        recall={kind: found.count("contaminated") / len(found) for kind, found in kinds.items()},
        partial={kind: found.count("partial") / len(found) for kind, found in kinds.items()},
        false_alarms=others.count("contaminated"),
        false_partial=others.count("partial"),
    )


def rows(sizes: list[int]) -> Iterator[Row]:
    """(measure, value, limit, note)."""
    found = []
    for size in sizes:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            one = fresh.submit(measure, size).result()
        found.append(one)
        limit = 20.0 if size == 4000 else None
        note = f"{1e6 * one.seconds / size:.0f} us for an item of each side"
        yield f"contamination_seconds_{size}", one.seconds, limit, note
        note = f"on top of the texts; {1024 * one.megabytes / size:.1f} kB an evaluation item"
        yield f"contamination_peak_mb_{size}", one.megabytes, None, note
    last = found[-1]
    if len(found) > 1:
        ratio = (last.seconds / last.size) / (found[0].seconds / found[0].size)
        yield (
            "contamination_growth",
            ratio,
            2.0,
            f"time an item at {last.size} over {found[0].size}; 1 is linear",
        )
    for kind in KINDS:
        name, share = kind.__name__, (last.partial if kind is a_third else last.recall)[kind.__name__]
        yield f"contamination_found_{name}", share, None, (kind.__doc__ or "").strip()
    yield (
        "contamination_false_alarms",
        last.false_alarms,
        0,
        f"of {last.size} items; in part: {last.false_partial}",
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="4000,20000,100000")
    parser.add_argument("--json", action="store_true", help="print [{measure, value, limit}]")
    options = parser.parse_args()
    told = []
    for name, value, limit, note in rows([int(size) for size in options.sizes.split(",")]):
        told.append({"measure": name, "value": round(value, 4), "limit": limit})
        if not options.json:
            bound = "" if limit is None else f" (limit {limit:g})"
            print(f"{name:40} {value:10.3f}{bound:14} {note}", flush=True)
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()
