"""Advantages of groups and of trees."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking import EmptyGroup, NonFiniteScore, UnknownCandidate, advantages, tree_advantages

REWARDS = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.25, 1.0, -3.0])), min_size=1, max_size=9)


def test_each_kind_is_its_formula():
    rewards = [1.0, 0.0, 0.0, 0.5]
    r = np.array(rewards)
    others = [(r.sum() - x) / 3 for x in r]
    assert advantages(rewards, "rloo").values == pytest.approx(r - others)
    assert advantages(rewards, "dr_grpo").values == pytest.approx(r - r.mean())
    assert advantages(rewards, "grpo").values == pytest.approx((r - r.mean()) / r.std())


@given(REWARDS)
def test_a_missing_reward_is_left_out_and_is_no_zero(rewards):
    known = [reward for reward in rewards if reward is not None]
    found = advantages(rewards)
    assert [value is None for value in found.values] == [
        reward is None or len(known) < 2 for reward in rewards
    ]
    if len(known) > 1:
        alone = advantages(known).values
        assert [v for v in found.values if v is not None] == list(alone)
        assert math.fsum(alone) == pytest.approx(0.0, abs=1e-12)


def test_groups_that_teach_nothing_are_flagged():
    assert advantages([1.0, 1.0, None]).flag == "zero_variance"
    assert advantages([1.0, 1.0, None]).values == (0.0, 0.0, None)
    assert advantages([0.3, None]).flag == "single"
    assert advantages([0.3, None]).values == (None, None)
    assert advantages([None, None]).flag == "empty"


@given(st.floats(-10, 10), st.integers(2, 8))
def test_rounding_errors_are_not_blown_up_to_advantages(reward, n):
    noisy = [reward * (1 + 1e-15 * i) for i in range(n)]
    assert advantages(noisy, "grpo").values == (0.0,) * n
    assert advantages(noisy, "grpo").flag == "zero_variance"


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_rloo_gives_the_gradient_without_bias(rate):
    # The gradient of the pass rate p in its logit is p (1 - p), the score of a coin is (outcome - p).
    mean = 0.0
    for outcomes in itertools.product([0.0, 1.0], repeat=5):
        share = math.prod(rate if x else 1 - rate for x in outcomes)
        gradient = np.mean(
            [a * (x - rate) for a, x in zip(advantages(outcomes).values, outcomes, strict=True)]
        )
        mean += share * gradient
    assert mean == pytest.approx(rate * (1 - rate))


def test_a_tree_without_forks_is_rloo():
    rewards = [1.0, 0.0, None, 0.5]
    tree = tree_advantages([-1] * 4, [0] * 4, [3, 2, 5, 1], rewards)
    flat = advantages(rewards).values
    for i, steps in enumerate((3, 2, 5, 1)):
        assert tree.of(i) == [flat[i]] * steps
        assert tree.mask(i) == [flat[i] is not None] * steps


def test_a_fork_is_judged_against_its_siblings_and_the_shared_steps_by_all_below():
    # 0: root, 8 steps, passes; 1: root, fails; 2: forked off 0 after 3 steps, fails; 3: off 2 after 5, passes.
    tree = tree_advantages([-1, -1, 0, 2], [0, 0, 3, 5], [8, 6, 9, 7], [1.0, 0.0, 0.0, 1.0])
    assert tree.of(0) == pytest.approx([0.75] * 3 + [0.5] * 5)
    assert tree.of(1) == pytest.approx([-0.75] * 6)
    assert tree.of(2) == pytest.approx([0.75] * 3 + [-0.5] * 2 + [-1.0] * 4)
    assert tree.of(3) == pytest.approx([0.75] * 3 + [-0.5] * 2 + [1.0] * 2)
    assert tree.mask(2) == [False] * 3 + [True] * 6
    assert tree.mask(3) == [False] * 5 + [True] * 2


def test_forking_a_branch_often_gives_it_no_more_weight_further_up():
    """0 passes; 1 fails and is forked five times, all failing: the task's two ways are worth 1 and 0, whoever forks."""
    few = tree_advantages([-1, -1], [0, 0], [4, 4], [1.0, 0.0])
    many = tree_advantages([-1, -1, *[1] * 5], [0, 0, *[2] * 5], [4] * 7, [1.0, *[0.0] * 6])
    assert few.of(0) == many.of(0) == [1.0] * 4
    nested = tree_advantages([-1, 0, 0, 2, 2, 2], [0, 2, 2, 3, 3, 3], [5] * 6, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    assert nested.segments[0].value == pytest.approx(2 / 3)


def test_a_way_on_for_which_a_branch_was_chosen_to_be_forked_is_compared_with_nothing():
    """0 was forked at its least certain reply: its own way on is no draw like those of its forks."""
    tree = tree_advantages(
        [-1, -1, 0, 0], [0, 0, 2, 2], [5] * 4, [0.0, 1.0, 1.0, 0.0], [False, False, True, True]
    )
    assert tree.of(0) == [-1.0, -1.0, None, None, None]
    assert tree.mask(0) == [True, True, False, False, False]
    assert (tree.of(2)[2:], tree.of(3)[2:]) == ([1.0] * 3, [-1.0] * 3)
    assert next(s for s in tree.segments if (s.branch, s.start) == (0, 2)).flag == "selected"
    assert tree.of(1) == [1.0] * 5, "further up only the branch itself counts"


def test_values_are_right_on_average_however_deep_failing_branches_are_forked():
    """Three tosses, one head passes. After each tail a branch is forked twice more: true value 7/8."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(1500):
        parent, fork, steps, rewards = [-1], [0], [0], [0.0]
        i = 0
        while i < len(parent):
            for toss in range(fork[i] + 1, 4):
                steps[i] = toss
                if rng.random() < 0.5:
                    rewards[i] = 1.0
                    break
                if toss < 3:
                    parent += [i, i]
                    fork += [toss, toss]
                    steps += [toss, toss]
                    rewards += [0.0, 0.0]
            i += 1
        found.append(tree_advantages(parent, fork, steps, rewards).segments[0].value)
    assert np.mean(found) == pytest.approx(7 / 8, abs=4 * np.std(found) / math.sqrt(len(found)))


def test_a_fork_off_a_shared_step_belongs_to_whoever_made_the_step():
    direct = tree_advantages([-1, 0, 0], [0, 2, 2], [4, 4, 4], [1.0, 0.0, 0.5])
    through = tree_advantages([-1, 0, 1], [0, 2, 2], [4, 4, 4], [1.0, 0.0, 0.5])
    assert direct == through


def test_steps_before_the_first_fork_have_no_siblings_and_are_not_trained_on():
    tree = tree_advantages([-1, 0], [0, 2], [3, 4], [1.0, 0.0])
    assert tree.of(0) == [None, None, 1.0]
    assert tree.mask(0) == [False, False, True]
    assert tree.segments[0].flag == "single"
    assert tree.segments[0].value == 0.5


def test_a_branch_that_ended_where_another_went_on_is_its_sibling():
    tree = tree_advantages([-1, 0], [0, 3], [3, 5], [0.0, 1.0])
    assert tree.of(1) == [None, None, None, 1.0, 1.0]
    ended = next(s for s in tree.segments if s.branch == 0 and s.start == s.stop == 3)
    assert ended.advantage == -1.0


@st.composite
def trees(draw: st.DrawFn):
    n = draw(st.integers(1, 7))
    parent, fork, steps = [-1], [0], [draw(st.integers(0, 6))]
    for i in range(1, n):
        above = draw(st.integers(-1, i - 1))
        parent.append(above)
        fork.append(draw(st.integers(0, steps[above])) if above >= 0 else 0)
        steps.append(fork[-1] + draw(st.integers(0, 5)))
    rewards = draw(st.lists(st.sampled_from([None, 0.0, 1.0, 0.5]), min_size=n, max_size=n))
    return parent, fork, steps, rewards


@given(trees())
def test_every_step_is_trained_on_at_most_once_and_every_branch_sees_all_of_its_steps(tree):
    parent, fork, steps, rewards = tree
    found = tree_advantages(parent, fork, steps, rewards)
    for i, total in enumerate(steps):
        own = [s for s in found.segments if s.branch == i]
        assert sum(s.stop - s.start for s in own) == total - fork[i]
        line = sorted((s.start, s.stop) for s in found.segments if i in s.branches and s.stop > s.start)
        assert [start for start, _ in line] == [0, *[stop for _, stop in line]][: len(line)]
        assert (line[-1][1] if line else 0) == total
        assert not any(found.mask(i)[: fork[i]])


@given(trees(), st.randoms(use_true_random=False))
def test_relabelling_the_branches_moves_their_advantages_with_them(tree, random):
    parent, fork, steps, rewards = tree
    n = len(parent)
    place = random.sample(range(n), n)
    moved = [[None] * n for _ in range(4)]
    for i in range(n):
        for column, value in zip(
            moved, (-1 if parent[i] < 0 else place[parent[i]], fork[i], steps[i], rewards[i]), strict=True
        ):
            column[place[i]] = value
    before, after = tree_advantages(parent, fork, steps, rewards), tree_advantages(*moved)
    for i in range(n):
        for a, b in zip(before.of(i), after.of(place[i]), strict=True):
            assert a == b or a == pytest.approx(b, abs=1e-12)


def test_impossible_groups_and_trees_are_named_errors():
    with pytest.raises(EmptyGroup):
        advantages([])
    with pytest.raises(NonFiniteScore):
        advantages([1.0, math.nan])
    with pytest.raises(ValueError, match="rloo"):
        advantages([1.0], "ppo")
    with pytest.raises(EmptyGroup):
        tree_advantages([], [], [], [])
    with pytest.raises(UnknownCandidate, match="one each"):
        tree_advantages([-1], [0], [1], [])
    with pytest.raises(UnknownCandidate, match="parent 5"):
        tree_advantages([5], [0], [1], [1.0])
    with pytest.raises(UnknownCandidate, match="circle"):
        tree_advantages([1, 0], [1, 1], [2, 2], [1.0, 0.0])
    with pytest.raises(NonFiniteScore, match="forked after step 4"):
        tree_advantages([-1, 0], [0, 4], [3, 5], [1.0, 0.0])
    with pytest.raises(NonFiniteScore, match="is not a finite number"):
        tree_advantages([-1], [0], [1], [math.inf])
