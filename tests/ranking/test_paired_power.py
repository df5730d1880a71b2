"""Power of paired comparisons: the published table, exact sums, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking import (
    Spread,
    discordance_at,
    mcnemar_exact,
    mcnemar_mdd,
    mcnemar_mid_p,
    mcnemar_power,
    tasks_needed,
)
from ranking.paired_power import clustered_mdd, clustered_power

#: statistics.md, section 3: smallest difference in pp by pairs, for discordant shares of 0.2, 0.3 and 0.5
EXACT = {
    8: (None, None, None),
    10: (None, None, None),
    16: (None, None, 47.4),
    32: (None, 26.7, 35.1),
    64: (15.8, 19.5, 25.5),
    128: (11.4, 14.0, 17.9),
    256: (8.0, 9.9, 12.7),
    1024: (4.0, 4.9, 6.3),
}
MID_P = {8: None, 16: None, 32: 24.9, 64: 18.4, 128: 13.3, 256: 9.5, 1024: 4.8}


@pytest.mark.parametrize("n", EXACT)
def test_the_smallest_difference_is_that_of_the_table(n: int) -> None:
    for share, expected in zip((0.2, 0.3, 0.5), EXACT[n], strict=True):
        assert _pp(mcnemar_mdd(n, share, mid_p=False)) == pytest.approx(expected, abs=0.051)


@pytest.mark.parametrize("n", MID_P)
def test_the_smallest_difference_of_the_mid_p_test_is_that_of_the_table(n: int) -> None:
    assert _pp(mcnemar_mdd(n, 0.3)) == pytest.approx(MID_P[n], abs=0.051)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.floats(0.05, 1.0), st.floats(-1.0, 1.0), st.booleans())
def test_power_is_the_sum_over_all_tables(n: int, share: float, part: float, mid_p: bool) -> None:
    p = mcnemar_mid_p if mid_p else mcnemar_exact
    delta = share * part
    expected = 0.0
    for b in range(n + 1):
        for c in range(n - b + 1):
            if p(b, c) < 0.05:
                chances = [(share - delta) / 2, (share + delta) / 2, 1 - share]
                expected += stats.multinomial.pmf([b, c, n - b - c], n, chances)
    assert mcnemar_power(n, delta, share, mid_p=mid_p) == pytest.approx(expected, abs=1e-9)


def test_a_difference_above_the_discordant_share_is_impossible() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        mcnemar_power(100, 0.3, 0.2)
    assert tasks_needed(0.3, Spread.assumed(0.2, 0.1)) is None
    assert tasks_needed(0.3, Spread.assumed(0.2, 0.1), seeds=4) is None
    assert mcnemar_mdd(100, 0.0) is None


def test_as_many_tasks_as_needed_have_the_power_and_one_fewer_need_not() -> None:
    needed = tasks_needed(0.1, Spread.assumed(0.3, 0.0))
    assert needed is not None
    assert mcnemar_power(needed, 0.1, 0.3) >= 0.8 > mcnemar_power(needed - 1, 0.1, 0.3)
    assert needed == pytest.approx((1.96 * 0.3**0.5 + 0.8416 * (0.3 - 0.01) ** 0.5) ** 2 / 0.01, rel=0.03)


def test_clustered_power_is_that_of_the_t_test() -> None:
    for tasks, delta, variance in ((8, 0.3, 0.1), (50, 0.1, 0.08), (300, 0.02, 0.05)):
        away = delta / np.sqrt(variance / tasks)
        edge = stats.t.ppf(0.975, tasks - 1)
        expected = stats.nct.sf(edge, tasks - 1, away) + stats.nct.cdf(-edge, tasks - 1, away)
        assert clustered_power(tasks, delta, variance) == pytest.approx(expected, abs=1e-6)
    assert clustered_power(50, 0.0, 0.1) == pytest.approx(0.05, abs=1e-6)
    assert clustered_power(50, 0.9, 1e-6) == 1.0
    assert clustered_power(5, 0.9, 1e-6) == 0.0


def test_the_smallest_clustered_difference_has_the_power_and_few_tasks_have_none() -> None:
    found = clustered_mdd(40, 0.09)
    assert found is not None
    assert clustered_power(40, found, 0.09) == pytest.approx(0.8, abs=1e-3)
    assert clustered_mdd(5, 0.09) is None  # five tasks have no p below 1/16
    assert clustered_mdd(40, 0.0) is None


def test_seeds_help_against_the_variance_inside_tasks_only() -> None:
    inside, between = Spread.assumed(0.3, 0.0), Spread.assumed(0.3, 1.0)
    assert _needed(inside, 8) == pytest.approx(_needed(inside, 2) / 4, rel=0.05)
    assert _needed(between, 8) == _needed(between, 2)


def test_the_spread_of_known_components_is_found() -> None:
    rng = np.random.default_rng(2)
    groups = [
        list(rng.normal(0, 0.3) + rng.normal(0, 0.4, size=size)) for size in rng.integers(2, 7, size=4000)
    ]
    spread = Spread.seen(groups, binary=False)
    assert spread is not None
    assert spread.variance == pytest.approx(0.25, rel=0.03)
    assert spread.icc == pytest.approx(0.36, abs=0.03)
    assert spread.discordance is None


def test_one_pair_a_task_does_not_tell_the_components() -> None:
    assert Spread.seen([[1.0], [0.0], [-1.0]], binary=True) is None
    assert Spread.seen([[0.0, 0.0], [0.0, 0.0]], binary=True) is None
    assert Spread.seen([[1.0, 0.0]], binary=True) is None


def test_assumptions_out_of_range_are_refused() -> None:
    for discordance, icc in ((0.0, 0.1), (1.2, 0.1), (0.3, -0.1), (0.3, 1.1)):
        with pytest.raises(ValueError, match="not"):
            Spread.assumed(discordance, icc)
    for delta, seeds in ((0.0, 1), (1.5, 1), (0.1, 0)):
        with pytest.raises(ValueError, match="at least one seed"):
            tasks_needed(delta, Spread.assumed(0.3, 0.1), seeds)


def test_independent_policies_disagree_by_their_rates() -> None:
    assert discordance_at(0.5, 0.0) == 0.5
    assert discordance_at(0.4, 0.1) == pytest.approx(0.4 * 0.5 + 0.6 * 0.5)


def _pp(rate: float | None) -> float | None:
    return None if rate is None else 100 * rate


def _needed(spread: Spread, seeds: int) -> int:
    found = tasks_needed(0.05, spread, seeds)
    assert found is not None
    return found
