"""`rollouts audit contamination`: which evaluation items training text holds, where, and how much of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ranking import wilson

from ..errors import ConfigError
from ..governance.contamination import EvaluationIndex, Hit, Item, Settings
from .corpus import Unread

VERSION = "contamination/v1"
#: Hits told of one evaluation item, the best ones; once all of them hold it whole, it is looked for no further.
KEPT = 3
SHOWN = 20  #: rows of the table
SHORT = {"words": "words", "characters": "chars", "equal": "equal"}

LIMITS = (
    "Paraphrases, translations and changed wording are not found: clean means no shared text, not no leak."
)


@dataclass(frozen=True)
class ContaminationAudit:
    """What was found. Items are counted once, however many training items hold them."""

    train_items: int
    test_items: int
    contaminated: int
    partial: int
    hits: tuple[Hit, ...]  #: by evaluation item, the best first; at most `KEPT` each
    scattered: tuple[dict[str, Any], ...]  #: items that only several training items together hold
    too_short: tuple[str, ...]  #: too short for runs: compared whole
    only_common: tuple[str, ...]  #: nothing but boilerplate: compared whole
    not_compared: tuple[str, ...]  #: of both, those with nothing of their own even so
    common_ngrams_left_out: int
    unread: Unread
    settings: Settings

    @property
    def clean(self) -> bool:
        """Nothing is contaminated, and everything could be read and compared."""
        return not self.contaminated and not self.unread.count and not self.not_compared

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the rate, for other items like these."""
        return wilson(self.contaminated, self.test_items) or (0.0, 1.0)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        low, high = self.interval
        return {
            "version": VERSION,
            "train_items": self.train_items,
            "test_items": self.test_items,
            "contaminated": self.contaminated,
            "partial": self.partial,
            "rate": self.contaminated / self.test_items,
            "rate_low": low,
            "rate_high": high,
            "hits": [hit.as_dict() for hit in self.hits],
            "scattered": list(self.scattered),
            "too_short": len(self.too_short),
            "too_short_ids": list(self.too_short),
            "only_common": len(self.only_common),
            "not_compared": len(self.not_compared),
            "not_compared_ids": list(self.not_compared),
            "common_ngrams_left_out": self.common_ngrams_left_out,
            "unreadable": self.unread.count,
            "problems": self.unread.told,
            "settings": asdict(self.settings),
        }


def audit_contamination(
    test: Iterable[Item],
    train: Iterable[Item],
    settings: Settings | None = None,
    unread: Unread | None = None,
) -> ContaminationAudit:
    """Look for every evaluation item in the training items, which may be a stream.

    `unread` is what reading them notes as they are read. Raises `ConfigError` when either side is empty.
    """
    unread = unread if unread is not None else Unread()
    try:
        index = EvaluationIndex(test, settings)
    except ConfigError as error:
        raise ConfigError(f"{error}{_why(unread.told)}") from None
    told = len(unread.told)
    best: dict[int, list[Hit]] = {}
    enough: set[int] = set()
    counted = _Counted(train)
    for item, hit in index.find(counted, enough):
        kept = sorted([*best.get(item, ()), hit], key=lambda hit: -hit.containment)[:KEPT]
        best[item] = kept
        if len(kept) == KEPT and kept[-1].containment == 1.0:
            enough.add(item)
    if not counted.count:
        raise ConfigError(f"no training items: nothing to look in{_why(unread.told[told:])}")
    bad = {item for item, hits in best.items() if hits[0].standing == "contaminated"}
    scattered = [found for found in index.scattered() if found[0] not in bad]

    def size(items: Iterable[int]) -> int:
        return sum(1 + len(index.copies[item]) for item in set(items))

    def ids(items: Iterable[int]) -> tuple[str, ...]:
        return tuple(found.id for item in items for found in (index.items[item], *index.copies[item]))

    return ContaminationAudit(
        train_items=counted.count,
        test_items=size(range(len(index.items))),
        contaminated=size(bad),
        partial=size({*best, *(found[0] for found in scattered)} - bad),
        hits=tuple(_with_copies(index, best)),
        scattered=tuple(
            {"test_id": index.items[item].id, "test_field": field, "containment": round(share, 4)}
            for item, field, share in scattered
        ),
        too_short=ids(index.too_short),
        only_common=ids(index.only_common),
        not_compared=ids(index.not_compared),
        common_ngrams_left_out=index.common_runs,
        unread=unread,
        settings=index.settings,
    )


def print_contamination(audit: ContaminationAudit, console: Console) -> None:
    """The table of hits, worst first, and what the figures mean."""
    if audit.hits:
        table = Table(title="evaluation items in the training text", title_justify="left", show_lines=True)
        for column, ratio in (("evaluation item", 3), ("training item", 3), ("share", 1), ("passage", 4)):
            table.add_column(column, overflow="fold", ratio=ratio)
        worst = sorted(audit.hits, key=lambda hit: -hit.containment)
        for hit in worst[:SHOWN]:
            table.add_row(*_row(hit))
        console.print(table)
        if len(worst) > SHOWN:
            console.print(f"... and {len(worst) - SHOWN} more; --json tells all, with places")
    low, high = audit.interval
    console.print(
        f"{audit.contaminated} of {audit.test_items} evaluation items contaminated "
        f"({audit.contaminated / audit.test_items:.2%}, 95 % interval {low:.2%} to {high:.2%}), {audit.partial} in "
        f"part; {audit.train_items} training items"
    )
    for names, what in (
        (audit.too_short, "too short for runs of words or characters: compared whole, as equal or not"),
        (audit.only_common, "made of nothing but what other evaluation items have too: compared whole"),
        (
            audit.not_compared,
            "of these without any text of their own: NOT compared; --common N allows runs in N items",
        ),
        (tuple(found["test_id"] for found in audit.scattered), "in pieces over several training items"),
    ):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            console.print(f"{len(names)} {what} ({escape(shown)})", soft_wrap=True)
    if audit.common_ngrams_left_out:
        console.print(f"{audit.common_ngrams_left_out} runs left out: too many evaluation items share them")
    for problem in audit.unread.told:
        console.print(f"[red]not read[/] {escape(problem)}", soft_wrap=True)
    if audit.unread.count:
        console.print(f"{audit.unread.count} places could not be read: what they hold is not known")
    console.print(LIMITS, soft_wrap=True)


def _why(problems: Sequence[str]) -> str:
    """The first thing that could not be read, with its file."""
    if not problems:
        return ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"; {problems[0]}{more}"


class _Counted:
    """Items on their way, counted."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.count += 1
            yield item


def _with_copies(index: EvaluationIndex, best: dict[int, list[Hit]]) -> Iterator[Hit]:
    for item in sorted(best):
        for same in (index.items[item], *index.copies[item]):
            yield from (replace(hit, test_id=same.id, test_at=same.at) for hit in best[item])


def _row(hit: Hit) -> list[str]:
    share = f"{hit.containment:.0%}"
    return [
        f"{escape(hit.test_id)}\n[dim]{escape(hit.test_field)}[/]",
        f"{escape(hit.train_id)}\n[dim]{escape(hit.train_field)}[/]",
        (f"[red]{share}[/]" if hit.standing == "contaminated" else share) + f"\n{SHORT[hit.kind]}",
        escape(hit.excerpt[:80]),
    ]
