"""What is known about models: whether they take sampling parameters, and what their tokens cost.

Sampling rule (from Anthropic's model pages, read in stored copies on 20 Nov 2026): Claude models of version
4.7 and later, and every Mythos and Fable, refuse `temperature`, `top_p` and `top_k` on each request. The
five models in `TAKES_SAMPLING` accept them while thinking is off. Of a model that is not known nothing is
assumed, so nothing is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.trajectory import Usage

#: (family, major, minor) of the Claude models that accept a temperature while thinking is off.
TAKES_SAMPLING = frozenset(
    {("opus", 4, 6), ("sonnet", 4, 6), ("opus", 4, 5), ("sonnet", 4, 5), ("haiku", 4, 5)}
)

# A date suffix (claude-opus-4-5-20251101) is no minor version: at most two digits count.
_CLAUDE = re.compile(
    r"claude-(opus|sonnet|haiku|fable|mythos)-(?:(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?|preview)"
)


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens. None: not published, or the sources disagree."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None


#: Source: platform.claude.com/docs/en/about-claude/pricing and the pages of the models, read in stored
#: copies on 20 Nov 2026; cache writes are the five-minute kind. Left out because they could not be read
#: unambiguously: Haiku 5.5 (its price depends on the length of the prompt), Fable 5.2, Mythos 5.2. Sonnet
#: 5.5 has no cache price because two sources differ. Overridden by a policy's option `price`.
PRICES: dict[tuple[str, int, int], Price] = {
    ("fable", 5, 1): Price(10, 50, 0.25, 12.50),
    ("mythos", 5, 1): Price(10, 50, 0.25, 12.50),
    ("fable", 5, 0): Price(10, 50, 1.00, 12.50),
    ("mythos", 5, 0): Price(10, 50, 1.00, 12.50),
    ("opus", 5, 5): Price(4, 20, 0.20, 5.00),
    ("opus", 5, 0): Price(5, 25, 0.50, 6.25),
    ("opus", 4, 8): Price(5, 25, 0.50, 6.25),
    ("opus", 4, 7): Price(5, 25, 0.50, 6.25),
    ("opus", 4, 6): Price(5, 25, 0.50, 6.25),
    ("opus", 4, 5): Price(5, 25, 0.50, 6.25),
    ("sonnet", 5, 5): Price(2, 10),
    ("sonnet", 5, 0): Price(2, 10, 0.20, 2.50),
    ("sonnet", 4, 6): Price(3, 15, 0.30, 3.75),
    ("sonnet", 4, 5): Price(3, 15, 0.30, 3.75),
    ("haiku", 4, 5): Price(1, 5, 0.10, 1.25),
}


def claude_version(model: str) -> tuple[str, int, int] | None:
    """(family, major, minor) of a Claude model id, also with a date or a platform's prefix; else None.

    >>> claude_version("claude-opus-4-5-20251101")
    ('opus', 4, 5)
    """
    found = _CLAUDE.search(model)
    if found is None or found[2] is None:
        return None
    return found[1], int(found[2]), int(found[3] or 0)


def takes_sampling(model: str, thinking: bool = False) -> bool:
    """Whether a Claude model takes `temperature` (or `top_p`; never both). Unknown models: no."""
    return not thinking and claude_version(model) in TAKES_SAMPLING


def price_of(model: str) -> Price | None:
    """The list price of a Claude model, None when it is not known for certain."""
    version = claude_version(model)
    return PRICES.get(version) if version else None


def cost_usd(
    price: Price | None, fresh: int | None, output: int | None, cache_read: int = 0, cache_write: int = 0
) -> float | None:
    """What a reply cost, in US dollars; None when a part of it cannot be priced. `fresh` is the input
    that was neither read from nor written to the cache."""
    if price is None or fresh is None or output is None:
        return None
    parts = [fresh * price.input, output * price.output]
    for tokens, rate in ((cache_read, price.cache_read), (cache_write, price.cache_write)):
        if tokens and rate is None:
            return None
        parts.append(tokens * (rate or 0.0))
    return sum(parts) / 1e6


def add_usage(a: Usage, b: Usage) -> Usage:
    """The sum of two usages. A figure missing on either side is missing in the sum."""

    def plus(x: float | None, y: float | None) -> float | None:
        return None if x is None or y is None else x + y

    return Usage.model_validate(
        {name: plus(getattr(a, name), getattr(b, name)) for name in Usage.model_fields}
    )
