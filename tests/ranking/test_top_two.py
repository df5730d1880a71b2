"""Top-two Thompson sampling: when it ends, and that what it says then is true."""

from __future__ import annotations

import numpy as np

from ranking import Comparison, TopTwo, fit, round_robin_calls
from ranking.simulate import JudgedWorld


def played(n: int, seed: int, accuracy: float = 0.75) -> tuple[TopTwo, list[Comparison], JudgedWorld]:
    rng = np.random.default_rng((n, seed))
    world = JudgedWorld.draw(n, accuracy, rng)
    schedule, answers = TopTwo(n, seed=seed), list[Comparison]()
    while questions := schedule.next(answers):
        answers += [world.answer(question, rng) for question in questions]
    return schedule, answers, world


def test_it_stops_when_the_leader_is_probably_nearly_the_best_and_mostly_that_is_so():
    close = []
    for seed in range(25):
        schedule, answers, world = played(24, seed)
        assert 2 * len(answers) <= round_robin_calls(24)
        if schedule.stop == "bayes":
            assert schedule.p_close >= 0.95
            close.append(world.close_to_best(schedule.leader))
    assert len(close) > 15
    assert np.mean(close) > 0.85


def test_a_sharp_judge_is_asked_less_than_a_blunt_one():
    sharp = np.mean([len(played(16, seed, 0.95)[1]) for seed in range(15)])
    blunt = np.mean([len(played(16, seed, 0.7)[1]) for seed in range(15)])
    assert sharp < blunt / 2


def test_groups_that_lost_answers_left_unlinked_are_linked_before_it_stops():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        world = JudgedWorld.draw(9, 0.98, rng)
        schedule, answers = TopTwo(9, 1000, seed=seed), list[Comparison]()
        path = schedule.next(answers)
        answers += [Comparison(q.first, q.second, "invalid") for q in path]
        while questions := schedule.next(answers):
            answers += [world.answer(question, rng) for question in questions]
        if schedule.stop == "bayes":
            assert set(fit(9, answers).components) == {0}


def test_the_first_round_compares_everybody_and_later_ones_are_about_the_top():
    schedule = TopTwo(12, seed=1)
    first = schedule.next([])
    assert len(first) == 11
    answers = [
        Comparison(q.first, q.second, "first" if q.first < q.second else "second") for q in first
    ]  # 0 is best, 11 worst
    asked = []
    for _ in range(6):
        questions = schedule.next(answers)
        asked += questions
        answers += [
            Comparison(q.first, q.second, "first" if q.first < q.second else "second") for q in questions
        ]
    assert np.mean([i < 6 for question in asked for i in question.pair]) > 0.75
    assert schedule.leader == 0
