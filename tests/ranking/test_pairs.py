"""Which pairs a judge is asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking import (
    SCHEDULES,
    BudgetTooSmall,
    Comparison,
    EmptyGroup,
    Halving,
    Question,
    RoundRobin,
    Schedule,
    Swiss,
    TopTwo,
    fit,
    halving_calls,
    round_robin_calls,
)
from ranking.simulate import JudgedWorld, sharpness


def play(
    schedule: Schedule, world: JudgedWorld, rng: np.random.Generator
) -> tuple[list[Question], list[Comparison]]:
    asked: list[Question] = []
    answers: list[Comparison] = []
    while questions := schedule.next(answers):
        asked += questions
        answers += [world.answer(question, rng) for question in questions]
    return asked, answers


def best(n: int, answers: list[Comparison]) -> int:
    return int(np.argmax(fit(n, answers).theta))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 20), name=st.sampled_from(sorted(SCHEDULES)), seed=st.integers(0, 99))
def test_every_schedule_ends_says_why_and_asks_no_pair_too_often(n: int, name: str, seed: int) -> None:
    schedule = SCHEDULES[name](n, seed=seed)
    rng = np.random.default_rng(seed)
    asked, _ = play(schedule, JudgedWorld.draw(n, 0.75, rng), rng)
    assert schedule.stop
    assert schedule.next([]) == []
    times = Counter(question.pair for question in asked)
    assert all(0 <= i < j < n for i, j in times)
    assert max(times.values(), default=0) <= (2 if name in ("halving", "top_two") else 1)
    for pair, count in times.items():
        assert sorted(q.sample for q in asked if q.pair == pair) == list(range(count))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 20), extra=st.integers(0, 60), seed=st.integers(0, 99))
def test_no_more_calls_are_asked_for_than_were_given(n: int, extra: int, seed: int) -> None:
    calls = 2 * (n - 1) + extra
    for make in (Halving, Swiss, TopTwo):
        rng = np.random.default_rng(seed)
        asked, _ = play(make(n, calls, seed=seed), JudgedWorld.draw(n, 0.75, rng), rng)
        assert 2 * len(asked) <= calls


def test_equal_seeds_ask_the_same_questions() -> None:
    def once(make: Callable[..., Schedule]) -> list[Question]:
        rng = np.random.default_rng(5)
        return play(make(9, seed=3), JudgedWorld.draw(9, 0.75, rng), rng)[0]

    for make in (Halving, TopTwo):
        assert once(make) == once(make)


def test_halving_finds_nearly_the_best_at_a_fraction_of_a_round_robin() -> None:
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        world = JudgedWorld.draw(16, 0.75, rng)
        schedule = Halving(16, seed=seed)
        _, answers = play(schedule, world, rng)
        assert schedule.stop == "one left"
        found.append(world.close_to_best(schedule.field[0]))
        assert len(answers) * 2 <= halving_calls(16) < round_robin_calls(16) / 2
    assert np.mean(found) > 0.8


def test_the_winner_of_halving_is_linked_to_everybody() -> None:
    for seed in range(15):
        for n in (5, 8, 16, 23):
            rng = np.random.default_rng(seed)
            _, answers = play(Halving(n, seed=seed), JudgedWorld.draw(n, 0.75, rng), rng)
            assert set(fit(n, answers).components) == {0}


def test_a_judge_that_never_answers_ends_the_schedule_too() -> None:
    for make in (Halving, Swiss, RoundRobin, TopTwo):
        schedule = make(8)
        rounds = 0
        while schedule.next([]):
            rounds += 1
            assert rounds < 50
        assert schedule.stop


def test_swiss_orders_the_whole_field() -> None:
    rng = np.random.default_rng(1)
    world = JudgedWorld.draw(12, 0.98, rng)
    _, answers = play(Swiss(12, round_robin_calls(12)), world, rng)
    assert world.close_to_best(best(12, answers), 0.2)
    assert np.corrcoef(fit(12, answers).theta, world.strengths)[0, 1] > 0.8


def test_impossible_groups_and_budgets_are_refused_with_the_least_that_works() -> None:
    for make in (Halving, Swiss, RoundRobin, TopTwo):
        with pytest.raises(EmptyGroup):
            make(0)
        with pytest.raises(BudgetTooSmall, match="at least"):
            make(8, 12)


def test_the_sharpness_of_a_judge_gives_its_accuracy() -> None:
    rng = np.random.default_rng(0)
    for accuracy in (0.6, 0.75, 0.9):
        gaps = np.abs(rng.normal(size=200_000) - rng.normal(size=200_000))
        assert np.mean(1 / (1 + np.exp(-sharpness(accuracy) * gaps))) == pytest.approx(accuracy, abs=0.003)
    assert sharpness(0.75) == pytest.approx(1.175, abs=0.003)
    with pytest.raises(ValueError, match="accuracy"):
        sharpness(0.5)
