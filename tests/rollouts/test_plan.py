"""Plans: which branches come next and how they differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollouts.config import SamplingConfig
from rollouts.plan import AtStep, Independent, SamplingPlan, TreeNode, derive_seed


def node(name: str) -> TreeNode:
    return TreeNode(name, None, 0, 3, True)


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
