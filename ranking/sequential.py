"""Stopping early without paying for it in false claims: e-processes and a confidence sequence.

An e-process is a bet against a null hypothesis that starts with 1 and, while the null holds, never grows on
average, whenever one looks; P(it ever reaches 1 / alpha) <= alpha (Ville). So one may look after every
outcome. Robbins, Ann. Math. Stat. 41 (1970) 1397, for mixtures; Ramdas et al., Stat. Sci. 38 (2023) 576, for
the whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .checks import flag, inner, positive, whole
from .roots import boundary

ALPHA = 0.05
_LOG2 = math.log(2.0)
_NEAR_ZERO = 0.25  # first parameter of the beta density that a bet on a low rate is mixed over


@dataclass
class EProcess:
    """Whether one side wins more than half of the decisive comparisons, or fewer; looked at any time.

    The bet is a mixture over the win rate, Beta(a, a): e = B(a + w, a + l) / B(a, a) * 2^(w + l). A large `a`
    bets on rates near 1/2. At a rate of 0.7 it stops after 55 comparisons on average; an exact test that
    looks once takes 49 for 80 % power, and 79 for 95 %.
    """

    a: float = 5.0
    alpha: float = ALPHA
    wins: int = field(default=0, init=False)
    losses: int = field(default=0, init=False)
    peak: float = field(default=1.0, init=False)  #: largest e so far

    def __post_init__(self) -> None:
        positive(self.a, "a")
        inner(self.alpha, "alpha")

    def update(self, win: bool | None) -> float:
        """One more decisive comparison; None (a tie, nothing known) changes nothing. Returns e."""
        if win is not None:
            win = flag(win, "comparison (None is a tie)")
            self.wins += bool(win)
            self.losses += not win
            self.peak = max(self.peak, self.e)
        return self.e

    @property
    def e(self) -> float:
        """The bet's worth now; infinite where it is beyond floats."""
        w, lost = self.wins, self.losses
        log_e = log_beta(self.a + w, self.a + lost) - log_beta(self.a, self.a) + (w + lost) * _LOG2
        return math.exp(log_e) if log_e < 700.0 else math.inf

    @property
    def p(self) -> float:
        """A p-value that stays valid however often one looked: 1 / the largest e so far."""
        return 1.0 / self.peak if math.isfinite(self.peak) else 0.0

    @property
    def stopped(self) -> bool:
        """Whether the null has been rejected at `alpha`, now or before."""
        return self.peak >= 1.0 / self.alpha


def against_at_least(passes: int, fails: int, rate: float) -> float:
    """e-value against "the pass rate is at least `rate`": large when it is lower.

    A mixture over all lower rates q of prod q^pass (1 - q)^fail / (rate^pass (1 - rate)^fail), with density
    in proportion to q^(-3/4), which bets on rates near 0 (33 fails and no pass reject 0.1; a uniform one
    takes 43): for each q the ratio is a supermartingale under every rate of the null.
    """
    from scipy.special import betainc

    inner(rate, "rate")
    passes, fails = whole(passes, "passes"), whole(fails, "fails")
    a, b = passes + _NEAR_ZERO, fails + 1.0
    mass = float(betainc(a, b, rate))
    if mass <= 0.0:
        return 0.0
    log_e = log_beta(a, b) + math.log(mass) + math.log(_NEAR_ZERO) - _NEAR_ZERO * math.log(rate)
    log_e -= passes * math.log(rate) + fails * math.log1p(-rate)
    return math.exp(log_e) if log_e < 700.0 else math.inf


def against_at_most(passes: int, fails: int, rate: float) -> float:
    """e-value against "the pass rate is at most `rate`": large when it is higher."""
    return against_at_least(fails, passes, 1.0 - inner(rate, "rate"))


def confidence_sequence(passes: int, fails: int, alpha: float = ALPHA) -> tuple[float, float]:
    """Interval for a pass rate that holds at all times together with probability 1 - alpha: after any stop.

    All rates r against which the Beta(1/2, 1/2) mixture B(w + 1/2, l + 1/2) / (B(1/2, 1/2) r^w (1 - r)^l) has
    not reached 1 / alpha. Wider than an interval for a fixed number; (0, 1) before the first outcome.
    Raises `NonFiniteScore`.
    """
    inner(alpha, "alpha")
    passes, fails = whole(passes, "passes"), whole(fails, "fails")
    n = passes + fails
    if n == 0:
        return 0.0, 1.0
    mixture = log_beta(passes + 0.5, fails + 0.5) - log_beta(0.5, 0.5)

    def holds(rate: float) -> bool:
        if (rate <= 0.0 and passes) or (rate >= 1.0 and fails):
            return False
        likelihood = (passes * math.log(rate) if passes else 0.0) + (
            fails * math.log1p(-rate) if fails else 0.0
        )
        return mixture - likelihood < -math.log(alpha)

    return boundary(holds, passes / n, 0.0), boundary(holds, passes / n, 1.0)


def log_beta(a: float, b: float) -> float:
    """log B(a, b)."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
