"""Episodes for offline learners, before any library of theirs: what a step saw, and how likely its choice was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rollouts
from envs.trajectory import Message
from rollouts.config import parse_config
from rollouts.errors import ConfigError
from rollouts.exports import Rollout, Row, make_exporter
from rollouts.exports.encoders import encoder, hashed_ngrams
from rollouts.governance import Admitted, Gate
from rollouts.policies.mutation import MutationPolicy
from rollouts.policies.mutation.agent import Options
from rollouts.policies.mutation.history import replay
from rollouts.policies.mutation.weights import FAMILIES, NAMES, probabilities, vector
from rollouts.records import BranchRecord

RUN = """
tasks: suite
task_ids: [interval-merge]
branches: 1
policy: {name: mutation, options: {tries: 3}}
engine: {kind: inline}
"""


def rows(name: str, *records: BranchRecord, **options: object) -> list[Row]:
    """What an exporter makes of records."""
    admitted = [each for each in map(Gate().admit, records) if isinstance(each, Admitted)]
    return list(make_exporter(name, **options).rows(Rollout.of(admitted), Counter()))


def test_the_log_probability_of_a_family_is_that_of_all_its_edits_together(tmp_path: Path) -> None:
    """As the policy itself has it, asked again at every choice of a real branch."""
    (record,) = rollouts.run(parse_config(RUN), tmp_path / "run").branches()
    (row,) = rows("rllib", record, form="edits")
    policy, told, own = MutationPolicy(tries=3), iter(row["told"]), np.array([f"op:{f}" for f in FAMILIES])
    columns = [NAMES.index(name) for name in own]
    for action, each in zip(row["actions"], told, strict=True):
        messages = record.trajectory.messages[: record.trajectory.steps[each["step"]].message]
        options = policy.due(replay(messages))
        assert isinstance(options, Options)
        _, p = probabilities(options.features, vector(None), 1.0)
        families = p @ options.features[:, columns]
        assert each["log_prob"] == pytest.approx(np.log(families[list(FAMILIES).index(action)]), abs=1e-6)
    assert row["steps"] >= 1


def test_a_reminder_between_two_calls_is_part_of_what_was_seen(
    make_record: Callable[..., BranchRecord],
) -> None:
    record = make_record(0)
    trajectory = record.trajectory
    (before,) = rows("minari", record)
    at = trajectory.steps[1].message
    trajectory.messages[at:at] = [
        Message(role="assistant", content="Hm."),
        Message(role="user", content="Call a tool."),
    ]
    for index, step in enumerate(trajectory.steps[1:], 1):
        moved = {"message": step.message + 2, "result": step.result + 2}
        trajectory.steps[index] = step.model_copy(update=moved)
    (after,) = rows("minari", record)
    assert after["observations"][1] == before["observations"][1] + "\n\nCall a tool."
    assert after["observations"][2:] == before["observations"][2:]


def test_of_several_calls_in_one_reply_none_has_the_replys_log_probability(
    make_record: Callable[..., BranchRecord],
) -> None:
    record = make_record(0)
    message = record.trajectory.messages[record.trajectory.steps[1].message]
    doubled = message.model_copy(update={"tool_calls": (*message.tool_calls, message.tool_calls[0])})
    record.trajectory.messages[record.trajectory.steps[1].message] = doubled
    (row,) = rows("rllib", record, form="text")
    assert [each["log_prob"] for each in row["told"]] == [-0.5, None, -0.5, -0.5, -0.5]
    assert row["log_probs"] is None


@given(st.text(), st.integers(1, 64))
def test_a_text_becomes_a_vector_of_length_one_whatever_it_holds(text: str, dim: int) -> None:
    found = hashed_ngrams(text, dim)
    assert (found.shape, found.dtype) == ((dim,), np.float32)
    length = float(np.linalg.norm(found))
    assert length == pytest.approx(1, abs=1e-5) or not found.any()
    assert (found == hashed_ngrams(text, dim)).all()


def test_texts_that_share_more_are_nearer_to_each_other() -> None:
    one, two, other = map(hashed_ngrams, ("3 passed in 0.1s", "4 passed in 0.2s", "SyntaxError: invalid"))
    assert one @ two > 0.4 > one @ other


@pytest.mark.parametrize("given", ["nowhere:encode", "json", "string:printable"])
def test_an_encoder_that_is_not_there_is_named(given: str) -> None:
    with pytest.raises(ConfigError, match=f"encoder '{given}'"):
        encoder(given, 8)
