"""The score interval of a paired difference, and corrections for several comparisons."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from ranking import holm, mcnemar_exact, tango

TABLES = st.integers(1, 150).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n)).flatmap(
        lambda nb: st.tuples(st.just(nb[0]), st.just(nb[1]), st.integers(0, nb[0] - nb[1]))
    )
)


@settings(deadline=None)
@given(TABLES)
def test_its_ends_are_where_the_score_test_stops_rejecting(table: tuple[int, int, int]) -> None:
    n, b, c = table
    for end in tango(n, b, c):
        if abs(end) < 1:
            assert abs(_score(n, b, c, end)) == pytest.approx(1.959964, abs=0.01)


@given(TABLES)
def test_it_leaves_out_0_exactly_when_the_uncorrected_mcnemar_test_rejects(
    table: tuple[int, int, int],
) -> None:
    n, b, c = table
    low, high = tango(n, b, c)
    assume(abs(low) > 1e-9 and abs(high) > 1e-9)
    p = mcnemar([[0, b], [c, 0]], exact=False, correction=False).pvalue if b + c else 1.0
    assert (low > 0 or high < 0) == (p < 0.05)


@given(TABLES)
def test_exchanging_the_sides_mirrors_it(table: tuple[int, int, int]) -> None:
    n, b, c = table
    low, high = tango(n, b, c)
    assert tango(n, c, b) == pytest.approx((-high, -low), abs=1e-9)
    assert -1 <= low <= (c - b) / n <= high <= 1


def test_no_discordant_pair_leaves_a_width_and_no_pair_leaves_everything_open() -> None:
    z2 = 1.959964**2
    assert tango(50, 0, 0) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)), abs=1e-6)
    assert tango(0, 0, 0) is None
    assert tango(10, 0, 10)[1] == 1.0
    with pytest.raises(ValueError, match="at most n"):
        tango(10, 6, 5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_test_agrees_with_statsmodels(b: int, c: int) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(mcnemar([[5, b], [c, 5]], exact=True).pvalue, rel=1e-9)


@settings(max_examples=15, deadline=None)  # statsmodels takes a tenth of a second for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_holm_of_nothing_is_nothing_and_no_p_value_is_refused() -> None:
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-value"):
        holm([math.nan])


def _score(n: int, b: int, c: int, delta: float) -> float:
    """The same by brute force: the likeliest table with this difference, found numerically."""

    def unlikely(first: float) -> float:
        shares = (first, first + delta, 1 - 2 * first - delta)
        counts = (b, c, n - b - c)
        return -sum(k * math.log(max(s, 1e-300)) for k, s in zip(counts, shares, strict=True))

    least, most = max(0.0, -delta), (1 - delta) / 2
    first = float(
        minimize_scalar(unlikely, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    )
    return ((c - b) - n * delta) / math.sqrt(n * (2 * first + delta - delta**2))
