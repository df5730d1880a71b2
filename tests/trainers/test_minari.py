"""Minari loads what we export, value for value, and collects from our env."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

minari = pytest.importorskip("minari")

import factories  # noqa: E402
import gymnasium  # noqa: E402

from rollouts.errors import ConfigError  # noqa: E402
from rollouts.exports import export  # noqa: E402
from rollouts.exports.minari import text_space  # noqa: E402
from rollouts.store import RunStore  # noqa: E402

MakeRun = Callable[..., RunStore]


def loaded(out: Path, name: str) -> Any:
    """The data set as a user gets it."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(out)
    try:
        assert list(minari.list_local_datasets()) == [name]
        return minari.load_dataset(name)
    finally:
        os.environ.pop("MINARI_DATASETS_PATH") if before is None else os.environ.update(
            MINARI_DATASETS_PATH=before
        )


def test_a_run_comes_back_from_minari_value_for_value(store: RunStore, tmp_path: Path) -> None:
    """Every step of every branch once; texts in infos are UTF-8 bytes, as Minari has them."""
    export(store, "minari", tmp_path / "out", dataset="mended-v3")
    dataset = loaded(tmp_path / "out", "mended-v3")
    about = {each["episode_id"]: each for each in dataset.storage.get_episode_metadata(range(len(dataset)))}
    found = {each.infos["episode_id"][0].decode(): each for each in dataset}
    records = list(store.branches())
    assert (dataset.total_episodes, len(found)) == (len(records), len(records))
    for record in records:
        episode, trajectory = found["/".join((store.run_id, *record.key))], record.trajectory
        steps = trajectory.steps[trajectory.prefix_steps :]
        before = trajectory.messages[trajectory.prefix_messages - 1 if trajectory.prefix_messages else 1]
        seen = [before.content, *(trajectory.messages[step.result].content for step in steps)]
        calls = [trajectory.messages[step.message].tool_calls[step.call] for step in steps]
        n = len(steps)
        assert episode.observations == seen
        assert [json.loads(action) for action in episode.actions] == [
            {"tool": call.name, "arguments": call.arguments} for call in calls
        ]
        assert episode.rewards.tolist() == [0.0] * (n - 1) + [record.result.reward]
        assert episode.terminations.tolist() == [False] * (n - 1) + [True]
        assert not episode.truncations.any()
        for name, value in (("task_id", record.task.task_id), ("branch_id", record.lineage.branch_id)):
            assert episode.infos[name].tolist() == [value.encode()] * (n + 1)
            assert about["/".join((store.run_id, *record.key))][name] == value
        assert ("parent" in episode.infos) == (record.lineage.parent is not None)
        assert episode.infos["steps"].tolist() == [*(s.index for s in steps), steps[-1].index + 1]
        assert episode.infos["tool"].tolist()[1:] == [step.tool.encode() for step in steps]
        known = [
            s.log_prob if len(trajectory.messages[s.message].tool_calls) == 1 else math.nan for s in steps
        ]
        np.testing.assert_array_equal(episode.infos["log_prob"], [math.nan, *known])
        assert all(map(dataset.observation_space.contains, seen))
    sampled = dataset.sample_episodes(2)
    assert all(
        each.observations == found[each.infos["episode_id"][0].decode()].observations for each in sampled
    )


def test_the_data_set_says_where_it_comes_from(store: RunStore, tmp_path: Path) -> None:
    export(store, "minari", tmp_path / "out", dataset="named-v0")
    metadata = loaded(tmp_path / "out", "named-v0").storage.metadata
    assert (metadata["algorithm_name"], metadata["run_id"]) == ("mutation", store.run_id)
    assert metadata["code_version"]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), min_size=1, max_size=4
    )
)
def test_any_text_comes_back_as_it_was(texts: list[str]) -> None:
    actions = [("bash", {"command": text}, text, 0, False) for text in texts]
    with TemporaryDirectory() as name:
        place = Path(name)
        with RunStore.create(place / "run", "branches: 1\n", run_id="run-1", sync=False) as store:
            store.writer("driver").append(factories.make_record(0, actions=tuple(actions)))
        export(RunStore.open(place / "run"), "minari", place / "out")
        (episode,) = loaded(place / "out", "run-1-v0")
        assert episode.observations[1:] == texts
        assert [json.loads(action)["arguments"]["command"] for action in episode.actions] == texts


def test_a_nul_in_an_observation_leaves_the_branch_out_and_is_counted(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """HDF5 ends a text there; an action has it escaped."""
    nul = [("bash", {"command": "printf '\0'"}, out, 0, False) for out in ("\0", "")]
    records = [factories.make_record(i, actions=(nul[i], *factories.FIX)) for i in (0, 1)]
    summary = export(make_run(*records), "minari", tmp_path / "out")
    assert (summary.rows, summary.excluded) == (1, {"nul_in_text": 1})
    (episode,) = loaded(tmp_path / "out", "run-1-v0")
    assert json.loads(episode.actions[0])["arguments"]["command"] == "printf '\0'"


def test_no_secret_is_in_a_data_set(make_run: MakeRun, tmp_path: Path) -> None:
    key = "AKIA" + "R" * 16
    leak: factories.Action = ("bash", {"command": f"export K={key}"}, key, 0, False)
    export(make_run(factories.make_record(0, actions=(leak, *factories.FIX))), "minari", tmp_path / "out")
    (episode,) = loaded(tmp_path / "out", "run-1-v0")
    assert not any(key in text for text in (*episode.observations, *episode.actions))


def test_a_budget_truncates_and_what_has_no_reward_is_not_there(make_run: MakeRun, tmp_path: Path) -> None:
    store = make_run(
        factories.make_record(0, "truncated", outcome="fail"), factories.make_record(1, "policy_error")
    )
    summary = export(store, "minari", tmp_path / "out")
    assert summary.excluded == {"missing_policy_error": 1}
    (episode,) = loaded(tmp_path / "out", "run-1-v0")
    assert (episode.terminations[-1], episode.truncations[-1]) == (False, True)


def test_an_export_takes_the_place_of_an_earlier_one_whole_and_a_failed_one_of_nothing(
    make_run: MakeRun, tmp_path: Path
) -> None:
    """The same run gives the same bytes; nothing half made and no foreign variable is left."""
    out, before = tmp_path / "out", dict(os.environ)
    good, empty = make_run(factories.make_record(0)), make_run(factories.make_record(0, "cancelled"))
    first = export(good, "minari", out).written
    with pytest.raises(ConfigError, match="no branch gives an episode"):
        export(empty, "minari", out)
    assert export(good, "minari", out).written == first
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "run-1-v0"]
    assert dict(os.environ) == before


def test_a_directory_that_is_no_data_set_is_never_replaced(make_run: MakeRun, tmp_path: Path) -> None:
    mine = tmp_path / "out" / "mine-v0" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("x")
    with pytest.raises(ConfigError, match="is no Minari data set"):
        export(make_run(factories.make_record(0)), "minari", tmp_path / "out", dataset="mine-v0")
    assert mine.read_text() == "x"


def test_minari_collects_from_the_env_with_infos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="Minari's collector needs it: minari[create]")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    text = text_space(100_000)
    env = minari.DataCollector(
        gymnasium.make("envs:rollout_fork/CodeTask-v0", task="word-count"),
        record_infos=True,
        observation_space=text,
        action_space=text,
    )
    first, _ = env.reset(seed=1, options={"task_id": "word-count"})
    actions = [
        '{"tool": "bash", "arguments": {"command": "echo naïve 😀"}}',
        "no tool call",
        '{"tool": "submit"}',
    ]
    seen = [env.step(action) for action in actions]
    env.create_dataset("collected-v0", algorithm_name="by hand")
    env.close()
    (episode,) = minari.load_dataset("collected-v0")
    assert (episode.observations, episode.actions) == ([first, *(each[0] for each in seen)], actions)
    assert "naïve 😀" in episode.observations[1]
    assert episode.terminations.tolist() == [False, False, True]
    assert episode.infos["task_id"].tolist() == [b"word-count"] * 4
    assert episode.infos["tool_error"].tolist()[2] and not episode.infos["missing"].any()
