"""RLlib reads our offline episodes with its own classes, and behaviour cloning learns from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("tree", reason="RLlib is not installed")
msgpack = pytest.importorskip("msgpack")
msgpack_numpy = pytest.importorskip("msgpack_numpy")

import factories  # noqa: E402
import ray  # noqa: E402
from ray.rllib.env.single_agent_episode import SingleAgentEpisode  # noqa: E402

from rollouts.errors import ConfigError  # noqa: E402
from rollouts.exports import export  # noqa: E402
from rollouts.exports.encoders import hashed_ngrams  # noqa: E402
from rollouts.exports.rllib import read_spaces  # noqa: E402
from rollouts.policies.mutation.weights import FAMILIES, NAMES  # noqa: E402
from rollouts.store import RunStore  # noqa: E402

MakeRun = Callable[..., RunStore]


def episodes(store: RunStore, out: Path, **options: Any) -> list[SingleAgentEpisode]:
    """Export and unpack as RLlib does."""
    export(store, "rllib", out, **options)
    items = pq.read_table(out / "rllib.parquet")["item"].to_pylist()
    unpacked = (msgpack.unpackb(item, object_hook=msgpack_numpy.decode) for item in items)
    return [SingleAgentEpisode.from_state(state) for state in unpacked]


def told(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "rllib.json").read_text())
    return found


@pytest.mark.slow
def test_behaviour_cloning_trains_on_an_export_as_it_stands(store: RunStore, tmp_path: Path) -> None:
    """The options are RLlib's: two of its readers and its data loader would not fit on two cores."""
    from ray.rllib.algorithms.bc import BCConfig

    out = tmp_path / "out"
    export(store, "rllib", out)
    observation_space, action_space = read_spaces(out / "rllib.json")
    config = (
        BCConfig()
        .environment(observation_space=observation_space, action_space=action_space)
        .offline_data(
            input_=[str(out)],
            input_read_episodes=True,
            dataset_num_iters_per_learner=1,
            map_batches_kwargs={"concurrency": 1},
        )
        .training(train_batch_size_per_learner=32)
    )
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        algorithm = config.build_algo()
        before = weights(algorithm)
        result = algorithm.train()["learners"]["default_policy"]
        after = weights(algorithm)
        algorithm.stop()
    finally:
        ray.shutdown()
    assert math.isfinite(result["policy_loss"])
    assert result["num_module_steps_trained"] == 32
    assert any(not np.array_equal(before[name], after[name]) for name in before)


def weights(algorithm: Any) -> dict[str, Any]:
    return {k: np.array(v) for k, v in algorithm.learner_group.get_weights()["default_policy"].items()}


def test_an_episode_says_what_its_branch_saw_called_and_got(store: RunStore, tmp_path: Path) -> None:
    """Every step of every branch once: a fork's episode begins where it left its parent."""
    found = {episode.id_: episode for episode in episodes(store, tmp_path / "out")}
    spaces, names = read_spaces(tmp_path / "out" / "rllib.json"), told(tmp_path / "out")["actions"]
    records = list(store.branches())
    assert sum(record.lineage.parent is not None for record in records) == 2
    assert len(found) == len(records)
    for record in records:
        episode, trajectory = found["/".join((store.run_id, *record.key))], record.trajectory
        steps = trajectory.steps[trajectory.prefix_steps :]
        assert [names[a] for a in episode.get_actions()] == [step.tool for step in steps]
        seen = [trajectory.messages[step.result].content for step in steps]
        np.testing.assert_array_equal(episode.get_observations()[1:], [hashed_ngrams(text) for text in seen])
        assert all(spaces[0].contains(each) for each in episode.get_observations())
        assert episode.get_rewards().tolist() == [0.0] * (len(steps) - 1) + [record.result.reward]
        assert (episode.is_terminated, episode.is_truncated) == (True, False)
        first, *rest = episode.get_infos()
        assert (first["task_id"], first["branch_id"]) == (record.task.task_id, record.lineage.branch_id)
        assert [info["step"] for info in rest] == [step.index for step in steps]
        assert not episode.extra_model_outputs  # of the tool alone nobody knows the probability


def test_choices_of_edits_come_with_their_exact_log_probabilities(store: RunStore, tmp_path: Path) -> None:
    found = episodes(store, tmp_path / "out", form="edits")
    spaces = read_spaces(tmp_path / "out" / "rllib.json")
    assert told(tmp_path / "out")["actions"] == list(FAMILIES)
    assert len(found) == len(list(store.branches()))
    for episode in found:
        observations, actions = episode.get_observations(), episode.get_actions()
        assert observations.shape == (len(episode) + 1, len(NAMES)) == (len(episode) + 1, *spaces[0].shape)
        p = observations[range(len(episode)), len(NAMES) - len(FAMILIES) + actions]
        np.testing.assert_allclose(np.exp(episode.get_extra_model_outputs("action_logp")), p, rtol=1e-6)
        assert not observations[-1].any()


def test_text_episodes_keep_every_letter_and_the_log_probabilities_of_replies(
    make_run: MakeRun, tmp_path: Path
) -> None:
    odd = "naïve 😀 \u2028 日本語 \x00 \x1b[31m"
    action: factories.Action = ("bash", {"command": odd}, odd, 0, True)
    store = make_run(factories.make_record(0, actions=(action, *factories.FIX)))
    (episode,) = episodes(store, tmp_path / "out", form="text", require_log_probs=True)
    assert episode.get_observations()[:2] == [factories.INSTRUCTION, odd]
    assert json.loads(episode.get_actions(0)) == {"tool": "bash", "arguments": {"command": odd}}
    assert episode.get_extra_model_outputs("action_logp") == [-0.5] * 6
    spaces = read_spaces(tmp_path / "out" / "rllib.json")
    assert all(map(spaces[0].contains, episode.get_observations()))
    assert all(map(spaces[1].contains, episode.get_actions()))


def test_a_log_probability_that_is_not_there_is_named_when_it_is_required(
    store: RunStore, tmp_path: Path
) -> None:
    """An edit and its test are one reply; of each call alone nothing is known."""
    with pytest.raises(ConfigError, match=r"trajectory\.steps\[\d+\]\.log_prob is absent"):
        export(store, "rllib", tmp_path / "out", form="text", require_log_probs=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_budget_truncates_and_what_has_no_reward_is_counted(make_run: MakeRun, tmp_path: Path) -> None:
    records = (
        factories.make_record(0, "truncated", outcome="fail"),
        factories.make_record(1, "infra_error"),
        factories.make_record(2, "failed", outcome="unknown"),
    )
    (episode,) = episodes(make_run(*records), tmp_path / "out")
    assert (episode.is_terminated, episode.is_truncated) == (False, True)
    excluded = json.loads((tmp_path / "out" / "manifest.json").read_text())["exports"]["rllib"]["excluded"]
    assert sum(excluded.values()) == 2
    assert excluded["missing_infra_error"] == 1


def test_a_call_of_a_tool_that_is_not_there_is_an_action_of_its_own(
    make_run: MakeRun, tmp_path: Path
) -> None:
    lost: factories.Action = ("browse", {"url": "x"}, "error: there is no tool named 'browse'", None, False)
    (episode,) = episodes(
        make_run(factories.make_record(0, actions=(lost, *factories.FIX))), tmp_path / "out"
    )
    names = told(tmp_path / "out")["actions"]
    assert names[-1] == "(other)"
    assert [names[a] for a in episode.get_actions()][:2] == ["(other)", "run_tests"]


def test_the_same_run_gives_the_same_bytes_and_an_encoder_of_ones_own_is_used(
    store: RunStore, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        export(store, "rllib", tmp_path / name, encoder=lambda text: [len(text), text.count("\n")])
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("a", "b"))
    assert first == second
    assert told(tmp_path / "a")["observation_space"]["shape"] == [2]


@pytest.mark.parametrize("form", ["tools", "text"])
def test_no_secret_is_in_an_episode(make_run: MakeRun, tmp_path: Path, form: str) -> None:
    key = "AKIA" + "R" * 16
    leak: factories.Action = ("bash", {"command": f"export K={key}"}, key, 0, False)
    (episode,) = episodes(
        make_run(factories.make_record(0, actions=(leak, *factories.FIX))), tmp_path, form=form
    )
    assert key not in repr(episode.get_state())
    if form == "tools":
        assert not np.array_equal(episode.get_observations(1), hashed_ngrams(key))


def test_a_run_without_choices_is_told_to_take_another_form(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"events of kind 'choice' in trajectory\.events"):
        export(make_run(factories.make_record(0)), "rllib", tmp_path / "out", form="edits")
