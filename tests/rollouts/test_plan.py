"""Plans: which branches come next and how they differ."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollouts.config import SamplingConfig, parse_config
from rollouts.errors import ConfigError
from rollouts.plan import (
    AtStep,
    BranchSpec,
    ChosenStep,
    Forked,
    ForkPlan,
    Independent,
    LeastCertain,
    Recovery,
    SamplingPlan,
    TreeNode,
    derive_seed,
)


def node(name: str) -> TreeNode:
    return TreeNode(name, None, 0, 3)


def ended(spec: BranchSpec, steps: int = 10, **known: Any) -> TreeNode:
    """What a plan knows of a branch that ended after so many steps."""
    forkable = tuple(range(spec.fork_step + 1, steps))
    return TreeNode(spec.branch_id, spec.parent, spec.fork_step, steps, **({"forkable": forkable} | known))


def grown(plan: ForkPlan, rounds: int = 20, **known: Any) -> list[BranchSpec]:
    """All branches of a rollout that goes by the plan."""
    specs: list[BranchSpec] = []
    for _ in range(rounds):
        new = plan.next("t", [ended(spec, **known) for spec in specs])
        if not new:
            return specs
        specs += new
    raise AssertionError("the plan never ends")


def test_branches_go_through_the_lists_in_turn() -> None:
    plan = SamplingPlan(
        SamplingConfig(temperatures=[0.5, 1.0], prompt_variants={"a": "A", "b": "B", "c": "C"})
    )
    samplings = [plan.sampling("t", index) for index in range(4)]
    assert [s.temperature for s in samplings] == [0.5, 1.0, 0.5, 1.0]
    assert [(s.prompt_variant, s.prompt_text) for s in samplings[:3]] == [("a", "A"), ("b", "B"), ("c", "C")]


def test_what_the_config_leaves_open_is_left_to_the_model() -> None:
    sampling = SamplingPlan().sampling("t", 0)
    assert sampling.temperature is None
    assert sampling.effort is None
    assert sampling.seed is not None


def test_a_plan_names_only_branches_that_are_not_there() -> None:
    plan = Independent(4)
    assert [s.branch_id for s in plan.next("t", [node("b001")])] == ["b000", "b002", "b003"]
    assert plan.next("t", [node(f"b{i:03d}") for i in range(4)]) == []


def test_a_fork_at_a_step_names_its_parent_and_numbers_on() -> None:
    specs = AtStep("b001", 3, 2, first=4).next("t", [node("b000")])
    assert [(s.branch_id, s.parent, s.fork_step) for s in specs] == [("b004", "b001", 3), ("b005", "b001", 3)]


@given(st.integers(0, 2**31), st.text(max_size=20), st.integers(0, 1000))
def test_a_seed_depends_on_its_arguments_alone(seed: int, rollout: str, index: int) -> None:
    assert derive_seed(seed, rollout, index) == derive_seed(seed, rollout, index)
    assert derive_seed(seed, rollout, index) != derive_seed(seed, rollout, index + 1)
    assert 0 <= derive_seed(seed, rollout, index) < 2**31


def places(specs: Sequence[BranchSpec]) -> list[tuple[str, str | None, int]]:
    return [(spec.branch_id, spec.parent, spec.fork_step) for spec in specs]


def test_forks_at_a_chosen_step_follow_when_all_first_branches_are_done() -> None:
    plan = Forked(Independent(2), ChosenStep(4), branches=2)
    assert [s.branch_id for s in plan.next("t", [node("b001")])] == ["b000"]
    assert places(grown(plan)) == [
        ("b000", None, 0),
        ("b001", None, 0),
        ("b002", "b000", 4),
        ("b003", "b000", 4),
        ("b004", "b001", 4),
        ("b005", "b001", 4),
    ]


def test_all_branches_of_a_tree_have_seeds_of_their_own() -> None:
    specs = grown(Forked(Independent(3), ChosenStep(2), branches=3, rounds=1))
    assert len({spec.sampling.seed for spec in specs}) == len(specs) == 12


def test_a_branch_that_has_ended_by_the_step_is_not_forked() -> None:
    assert len(grown(Forked(Independent(2), ChosenStep(10)))) == 2
    assert len(grown(Forked(Independent(2), ChosenStep(9)))) == 6


def test_a_state_that_was_not_kept_is_no_fork_point() -> None:
    assert len(grown(Forked(Independent(2), ChosenStep(4)), forkable=(1, 2, 3, 5))) == 2


def test_a_branch_that_the_machinery_ended_is_not_forked() -> None:
    assert len(grown(Forked(Independent(2), ChosenStep(4)), missing=True)) == 2


def test_forks_at_the_recovery_moment_are_where_each_branch_has_its_own() -> None:
    plan = Forked(Independent(1), Recovery(), branches=1)
    assert places(grown(plan, recovery=7))[1:] == [("b001", "b000", 7)]
    assert len(grown(plan, recovery=None)) == 1


def test_the_least_certain_replies_are_forked_and_certain_ones_never() -> None:
    known = ((1, 0.0), (3, -0.2), (5, -2.0), (7, -0.7), (9, -9.0))
    node = TreeNode("b000", None, 0, 9, forkable=tuple(range(1, 9)), certainty=known)
    assert LeastCertain(1)(node) == [5]
    assert LeastCertain(2)(node) == [5, 7]
    assert LeastCertain(9)(node) == [3, 5, 7], "a reply that could not have been another is no fork"


def test_rounds_fork_what_the_round_before_brought() -> None:
    def deeper(node: TreeNode) -> list[int]:
        return [node.fork_step + 2] if node.fork_step + 2 in node.forkable else []

    specs = grown(Forked(Independent(1), deeper, branches=2, rounds=2))
    assert places(specs) == [
        ("b000", None, 0),
        ("b001", "b000", 2),
        ("b002", "b000", 2),
        *((f"b00{i}", "b001", 4) for i in (3, 4)),
        *((f"b00{i}", "b002", 4) for i in (5, 6)),
    ]


def test_a_budget_of_branches_holds_for_the_whole_rollout() -> None:
    assert len(grown(Forked(Independent(3), ChosenStep(4), branches=4, max_branches=8))) == 8


def test_a_budget_of_steps_counts_shared_steps_once() -> None:
    """Two branches of 10 steps, then forks of 6 steps each: three of them fit into 40."""
    assert len(grown(Forked(Independent(2), ChosenStep(4), branches=4, max_steps=40))) == 5


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 3)),
    st.randoms(use_true_random=False),
)
def test_an_interrupted_rollout_goes_on_with_the_same_branches(
    roots: int, branches: int, rounds: int, parents: int | None, rng: random.Random
) -> None:
    """Whatever part of a round is done, what is left of it is what it would have been."""

    def deeper(node: TreeNode) -> list[int]:
        return [s for s in (node.fork_step + 1, node.fork_step + 2) if s in node.forkable]

    plan = Forked(Independent(roots), deeper, branches, parents, rounds, max_branches=40)
    whole = grown(plan)
    done: list[BranchSpec] = []
    while left := list(plan.next("t", [ended(spec) for spec in done])):
        done += rng.sample(left, rng.randint(1, len(left)))
    assert sorted(places(done)) == sorted(places(whole))
    assert {s.branch_id: s.sampling for s in done} == {s.branch_id: s.sampling for s in whole}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{at: step}", "give both or neither"),
        ("{at: recovery, step: 3}", "give both or neither"),
        ("{at: recovery, points: 2}", "`points` is for `at: uncertain`"),
        ("{at: recovery, max_branches: 3}", "below the 4 first branches"),
        ("{at: recovers}", "fork.at"),
    ],
)
def test_a_fork_section_that_fits_together_badly_is_one_clear_line(section: str, words: str) -> None:
    with pytest.raises(ConfigError, match="fork") as error:
        parse_config(f"branches: 4\nfork: {section}\n")
    assert words in str(error.value)


def test_forks_need_the_states_in_the_midst_of_branches() -> None:
    with pytest.raises(ConfigError, match="snapshots: changes"):
        parse_config("snapshots: end\nfork: {at: recovery}\n")
