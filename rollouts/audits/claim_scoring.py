"""Whether both sides of a claim were scored in the same way: by one metric, one filter, and alike for equal outputs.

A difference between two ways of scoring is none of the models'. So a claim whose sides were scored by different
metrics or filters is an artefact where it shows a difference, and equal outputs with opposite outcomes are evidence
that the scorer, not the output, decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ranking.claim_tables import paired_table, sign
from ranking.claims import ClaimAudit, ClaimVerdict

from ..errors import ConfigError
from .claim_items import PLAIN_OUTCOMES, Item
from .claim_readers import Results


def scoring_differs(a: Results, b: Results) -> tuple[ClaimVerdict, str] | None:
    """(the best verdict that is left, why) when the two were scored differently; None when they were not.

    Names that only say "right" (`correct`, `passed`) tell no metric: beside a named one, that it is the same is
    not known. Raises `ConfigError` where both files have a score in common, so that it can be chosen.
    """
    (metric_a, filter_a), (metric_b, filter_b) = _scored_by(a), _scored_by(b)
    if metric_a != metric_b and not {metric_a, metric_b} <= {*PLAIN_OUTCOMES, ""}:
        if shared := sorted(a.scores & b.scores):
            raise ConfigError(
                f"{a.path} is scored by {metric_a!r}, {b.path} by {metric_b!r}: not the same measure; both have "
                f"{', '.join(shared)}: choose with --metric {shared[0]}"
            )
        told = f"A is scored by {metric_a!r}, B by {metric_b!r}"
        if {metric_a, metric_b} & {*PLAIN_OUTCOMES, ""}:
            return "inconclusive", f"{told}, and whether that is the same measure is not known"
        return "artefact", f"{told}: not the same measure; score both by one, and choose it with --metric"
    if filter_a and filter_b and filter_a != filter_b:
        if shared := sorted(a.filters & b.filters):
            raise ConfigError(
                f"{a.path} is filtered by {filter_a!r}, {b.path} by {filter_b!r}; both have {', '.join(shared)}: "
                f"choose with --filter {shared[0]}"
            )
        return "artefact", (
            f"the answers of A were extracted by the filter {filter_a!r}, those of B by {filter_b!r}: "
            "give files that have one filter in common, and choose it with --filter"
        )
    return None


def same_outputs(first: Sequence[Item], second: Sequence[Item]) -> list[bool]:
    """Per item, whether the two outputs are the same text and came out oppositely."""
    return [
        x.text is not None
        and (x.text, x.length) == (y.text, y.length)
        and None not in (x.correct, y.correct)
        and x.correct != y.correct
        for x, y in zip(first, second, strict=True)
    ]


def heeded(
    found: ClaimAudit,
    first: Sequence[Item],
    second: Sequence[Item],
    differs: tuple[ClaimVerdict, str] | None,
) -> ClaimAudit:
    """The audit with its verdict held back by what speaks against the scoring.

    Where no difference is shown, there is nothing to hold back: the reason says what was noticed.
    """
    equal = same_outputs(first, second)
    against = [] if differs is None else [differs]
    if any(equal):
        told = f"{sum(equal)} items have the same output on both sides and opposite outcomes"
        against.append(_without(found, first, second, equal, told))
    if not against:
        return found
    if found.table.p_exact >= found.alpha:
        return replace(found, reason="; ".join([found.reason, *(why for _, why in against)]))
    worst = next((each for each in against if each[0] == "artefact"), against[0])
    if found.verdict == "artefact" or (found.verdict == "inconclusive" and worst[0] == "inconclusive"):
        return replace(found, reason="; ".join([found.reason, *(why for _, why in against)]))
    ahead = "B" if sign(found.table) > 0 else "A"
    claim = f"{ahead} is ahead by {abs(found.table.delta_pp or 0.0):.1f} pp"
    return replace(found, verdict=worst[0], reason=f"{claim}, but {'; '.join(why for _, why in against)}")


def _without(
    found: ClaimAudit, first: Sequence[Item], second: Sequence[Item], equal: Sequence[bool], told: str
) -> tuple[ClaimVerdict, str]:
    """What is left when equal outputs count as equal."""
    a = [item.correct for item in first]
    b = [x if same else item.correct for x, item, same in zip(a, second, equal, strict=True)]
    paired = [i for i, pair in enumerate(zip(a, b, strict=True)) if None not in pair]
    if paired_table(a, b, paired, found.alpha).shows(found.alpha, sign(found.table)):
        return "inconclusive", f"{told}, so one of them is scored wrong"
    return "artefact", f"{told}, and without these it is not shown: the scorer made the difference"


def _scored_by(side: Results) -> tuple[str, str]:
    """(metric, filter); "acc,none" holds both."""
    metric, _, suffix = side.metric.partition(",")
    return metric, side.filter or suffix
