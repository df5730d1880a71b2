"""The update of the mutation policy's weights from exported transitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.errors import ConfigError
from rollouts.learning.plot import Point, draw
from rollouts.learning.update import Row, StepSize, policy_gradient, read_rollouts, scores_of, update
from rollouts.policies.mutation.weights import COLUMN, NAMES, Floats, named, probabilities

FEATURES = (COLUMN["ochiai"], COLUMN["hint"], COLUMN["op:flip"])


def candidates(seed: int, n: int = 6) -> Floats:
    features = np.zeros((n, len(NAMES)))
    features[:, FEATURES] = np.random.default_rng(seed).normal(size=(n, len(FEATURES)))
    return features


def rows(features: Floats, weights: Floats, advantages: Sequence[float | None]) -> list[Row]:
    """One rollout in which every candidate was drawn once, with these advantages."""
    _, p = probabilities(features, weights, 1.0)
    event = {"kind": "choice", "mean_features": named(p @ features), "temperature": 1.0}
    return [
        {
            "rollout_id": "r",
            "events": [{**event, "features": named(one)}],
            "advantage": advantage,
            "group_advantage": advantage,
            "trains": advantage is not None,
        }
        for one, advantage in zip(features, advantages, strict=True)
    ]


@given(st.integers(0, 10_000))
def test_the_gradient_equals_the_numeric_derivative_of_the_expected_reward(seed: int) -> None:
    features, rng = candidates(seed), np.random.default_rng(seed)
    weights, rewards = rng.normal(size=len(NAMES)), rng.random(len(features))

    def expected(at: Floats) -> float:
        return float(probabilities(features, at, 1.0)[1] @ rewards)

    # Each candidate once, weighted by its probability: the estimate's own expectation.
    p = probabilities(features, weights, 1.0)[1]
    found = policy_gradient(scores_of([rows(features, weights, list(p * rewards))], "tree"))
    for column in FEATURES:
        h = np.zeros(len(NAMES))
        h[column] = 1e-5
        numeric = (expected(weights + h) - expected(weights - h)) / 2e-5
        assert found[column] == pytest.approx(numeric, abs=1e-6)
    assert np.count_nonzero(found) <= len(FEATURES)


@given(st.integers(0, 10_000), st.integers(0, 5))
def test_an_update_makes_the_rewarded_choice_more_probable(seed: int, rewarded: int) -> None:
    features, weights = candidates(seed), np.zeros(len(NAMES))
    advantages = [1.0 if k == rewarded else -0.2 for k in range(len(features))]
    made = update(weights, weights, scores_of([rows(features, weights, advantages)], "group"), StepSize(0.01))
    before, after = (probabilities(features, w, 1.0)[1][rewarded] for w in (weights, made.weights))
    assert after > before


def test_an_update_is_as_long_as_its_kl_divergence_says() -> None:
    features, weights = candidates(1), np.zeros(len(NAMES))
    found = scores_of([rows(features, weights, [1.0, -1.0, 0.5, -0.5, 0.2, -0.2])], "tree")
    made = update(weights, weights, found, StepSize(kl=0.001))
    (log_p, p), (log_q, _) = (probabilities(features, w, 1.0) for w in (weights, made.weights))
    assert float(p @ (log_p - log_q)) == pytest.approx(0.001, rel=0.1)


def test_a_step_that_belongs_to_another_branch_or_has_no_advantage_teaches_nothing() -> None:
    features, weights = candidates(2), np.ones(len(NAMES))
    found = rows(features, weights, [None] * 6)
    found[0] = {**found[0], "advantage": 3.0}  # shared: trains is false
    assert np.array_equal(update(weights, weights, scores_of([found], "tree")).weights, weights)


def test_transitions_without_the_columns_of_credit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"rollout_id": "r", "events": []}\n')
    with pytest.raises(ConfigError, match=r"'trains'.*export the run again"):
        scores_of(read_rollouts(tmp_path / "t.jsonl"), "tree")


def test_the_picture_shows_every_round_and_escapes_what_it_is_told() -> None:
    picture = draw({"tree": [0.1, 0.4]}, [Point("base", 0.2, None, ("<script>",))], ["a & b"])
    assert picture.count("<circle") == 3
    assert "<script>" not in picture
    assert "a &amp; b" in picture
