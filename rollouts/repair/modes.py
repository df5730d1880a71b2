"""The three ways to a text that meets its constraints. What counts as a pass is the same in all of them.

direct         one reply to the task
prompt_retry   whole new answers, shown the one before and what is wrong with it; the best one stands
full_pcl       one violation after the other, most urgent first: a passage rewritten, the whole regenerated, a
               string edit at last; what breaks anything that held is rolled back, and what nothing mends
               stays in the list
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from verifiers.constraints import is_empty

from . import prompts
from .patches import passage_of, patched
from .records import Mode, Way
from .workshop import Workshop

#: From the mildest to the last resort: a string edit mends nothing but the verdict, unless it is asked for.
LADDER: tuple[Way, ...] = ("rewrite_span", "regenerate", "patch")


async def direct(shop: Workshop) -> None:
    """One reply."""
    await shop.ask("first", prompts.first(shop.prompt))


async def prompt_retry(shop: Workshop) -> None:
    """Up to `rounds` more replies."""
    await direct(shop)
    while not shop.done and shop.found is not None:
        targets = shop.open_violations()
        messages = prompts.again(shop.prompt, shop.text, shop.found, targets)
        await shop.ask("retry", messages, targets=targets, rule="best", compose=_whole(shop))


async def full_pcl(shop: Workshop) -> None:
    """Repair by priority until nothing is open, or no strategy and no round is left."""
    await direct(shop)
    tries: Counter[tuple[int | None, str, Way]] = Counter()
    while not shop.done:
        step = _next(shop, tries)
        if step is None:
            shop.stop = "rounds" if shop.calls > shop.settings.rounds else "exhausted"
            return
        target, way = step
        tries[(shop.current, target, way)] += 1
        await _repair(shop, target, way)


RUN: dict[Mode, Callable[[Workshop], Awaitable[None]]] = {
    "direct": direct,
    "prompt_retry": prompt_retry,
    "full_pcl": full_pcl,
}


def _next(shop: Workshop, tries: Counter[tuple[int | None, str, Way]]) -> tuple[str, Way] | None:
    """The violation and strategy with the fewest tries on this text; of those the most urgent violation.

    A patch is tried once a text. What takes a reply of the policy may be tried again, with another seed, for
    as long as there are rounds.
    """
    found: list[tuple[int, int, int, str, Way]] = []
    for urgency, target in enumerate(shop.open_violations()):
        for rung, way in enumerate(_ladder(shop, target)):
            count = tries[(shop.current, target, way)]
            if (way == "patch" and count) or (way != "patch" and shop.calls > shop.settings.rounds):
                continue
            found.append((count, urgency, rung, target, way))
    return min(found)[3:] if found else None


def _ladder(shop: Workshop, target: str) -> list[Way]:
    """The strategies that apply to a violation: the declared one first, then in the order of `LADDER`."""
    constraint = shop.constraints[target]
    declared = constraint.repair.strategy
    order = sorted(LADDER, key=lambda way: way != declared)
    applies = {
        "patch": shop.settings.patches and patched(shop.text, constraint) is not None,
        "rewrite_span": _passage(shop, target) is not None,
        "regenerate": True,
    }
    return [way for way in order if applies[way]]


async def _repair(shop: Workshop, target: str, way: Way) -> None:
    text, found = shop.text, shop.found
    assert found is not None  # there is no violation without a text
    if way == "patch":
        await shop.edit(patched(text, shop.constraints[target]) or text, target)
        return
    place = _passage(shop, target) if way == "rewrite_span" else None
    if place is None:
        messages = prompts.again(shop.prompt, text, found, [target])
        await shop.ask("regenerate", messages, targets=[target], rule="no_regression", compose=_whole(shop))
        return
    start, end = place
    messages = prompts.passage(shop.prompt, text, found, [target], start, end)
    whole = _whole(shop)

    def put_in(said: str) -> str:
        """Saying nothing is no new passage: that would mend a violation by deleting it."""
        said = whole(said).strip("\n")
        return text if is_empty(said) else text[:start] + said + text[end:]

    await shop.ask("rewrite_span", messages, targets=[target], rule="no_regression", compose=put_in)


def _whole(shop: Workshop) -> Callable[[str], str]:
    prompt, text = shop.prompt, shop.text
    return lambda said: prompts.unfenced(said, prompt, text)


def _passage(shop: Workshop, target: str) -> tuple[int, int] | None:
    if shop.found is None:
        return None
    result = next(r for c, r in shop.found.violations if c.id == target)
    return passage_of(shop.text, shop.constraints[target], result)
