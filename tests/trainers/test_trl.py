"""TRL's own trainers take a real optimisation step on what is exported, and in real sandboxes.

They need the extra `trl`. What TRL marks as experimental is pinned here for the version named in pyproject.toml.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import torch
import trl_support as support
from datasets import Dataset
from transformers.utils.chat_template_utils import get_json_schema
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from envs import load_tasks
from kernel_pool import KernelPool
from rollouts import Run
from rollouts.errors import ConfigError, EnvironmentLacks
from rollouts.trainers.trl import environment_factory, prompt_rows, rollout_func, verifier_reward
from verifiers import Submission, Verdict
from verifiers.declared import declared

TASKS = load_tasks("suite", ids=[support.TASK])
MENDED = "edited series.py at line"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return support.scripted_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def tokenizer(run: Run) -> Any:
    return support.make_tokenizer(support.corpus(run))


@pytest.fixture(scope="module")
def taught(tokenizer: Any, run: Run) -> dict[str, torch.Tensor]:
    """Weights of a model that mends the task or hands it in as it is, by chance."""
    tools = next(iter(run.branches())).trajectory.tools
    (row,) = prompt_rows(TASKS)
    prompt = tokenizer.apply_chat_template(
        row["prompt"], tools=tools, add_generation_prompt=True, return_dict=False
    )
    model = support.make_model(tokenizer)
    support.teach(model, tokenizer, prompt)
    return support.weights(model)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """One step on the CPU, everything logged."""
    return {
        "output_dir": str(tmp_path / "out"),
        "max_steps": 1,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "seed": 3,
    }


def one_step(trainer: Any) -> dict[str, float]:
    """Train; what was logged of the step. The loss is a number and the weights are others."""
    before = support.weights(trainer.model)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert trainer.state.global_step == 1
    assert math.isfinite(logged["loss"])
    assert support.changed(trainer.model, before)
    return logged


def words(messages: list[dict[str, Any]]) -> str:
    """What the policy said in these messages, as the chat template writes it, its end-of-turn marks included."""
    text = ""
    for message in messages:
        if message["role"] == "assistant":
            calls = [c["function"] for c in message.get("tool_calls") or ()]
            written = [
                f'<tool_call>\n{{"name": "{c["name"]}", "arguments": {json.dumps(c["arguments"])}}}\n</tool_call>'
                for c in calls
            ]
            text += "\n".join([*filter(None, [message["content"]]), *written]) + "<|im_end|>\n"
    return text


def learnt(trainer: Any) -> list[str]:
    """For each row, the text of the tokens that have a label."""
    rows = [trainer.data_collator([trainer.train_dataset[i]]) for i in range(len(trainer.train_dataset))]
    return [trainer.processing_class.decode(b["labels"][b["labels"] != -100]) for b in rows]


def test_an_export_reads_back_exactly(run: Run, tmp_path: Path) -> None:
    """Arguments of different tools keep their own keys, and no key is filled in with nothing."""
    for to in ("sft", "dpo", "step_dpo", "kto", "grpo"):
        read = support.exported(run, to, tmp_path / to)
        lines = (tmp_path / to / f"{to}.jsonl").read_text().splitlines()
        assert read.to_list() == [json.loads(line) for line in lines]
        assert len(read) > 0


def test_sft_learns_what_the_policy_said_and_nothing_else(
    run: Run, tokenizer: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Every token of its replies, no token of a tool's result or the task."""
    rows = support.exported(run, "sft", tmp_path)
    trainer = SFTTrainer(
        support.make_model(tokenizer),
        SFTConfig(assistant_only_loss=True, max_length=None, **settings),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    assert learnt(trainer) == [words(row["messages"]) for row in rows]
    one_step(trainer)


def test_sft_in_prompt_completion_form_learns_a_shared_prefix_once(
    run: Run, tokenizer: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    """A fork's row has labels on what the fork said itself."""
    rows = support.exported(run, "sft", tmp_path, form="prompt_completion")
    trainer = SFTTrainer(
        support.make_model(tokenizer),
        SFTConfig(assistant_only_loss=True, max_length=None, **settings),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    assert learnt(trainer) == [words(row["completion"]) for row in rows]
    fork = next(row for row in rows if row["parent"])
    assert words(fork["prompt"]) and words(fork["prompt"]) in [
        words(m["messages"][: len(fork["prompt"])]) for m in support.exported(run, "sft", tmp_path / "whole")
    ]
    one_step(trainer)


@pytest.mark.parametrize(("to", "results_count"), [("dpo", True), ("step_dpo", False)])
def test_dpo_takes_the_pairs(
    run: Run, tokenizer: Any, settings: dict[str, Any], tmp_path: Path, to: str, results_count: bool
) -> None:
    """TRL masks the prompt only (1.16): results of tools in a completion count as part of it. Pairs of single
    replies hold none."""
    rows = support.exported(run, to, tmp_path)
    trainer = DPOTrainer(
        support.make_model(tokenizer),
        ref_model=support.make_model(tokenizer),
        args=DPOConfig(max_length=None, per_device_train_batch_size=2, **settings),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    batch = trainer.data_collator([trainer.train_dataset[0]])
    chosen = tokenizer.decode(batch["input_ids"][0][batch["completion_mask"][0] == 1])
    assert chosen.startswith(words(rows[0]["chosen"][:1]))
    assert ("<tool_response>" in chosen) == results_count
    assert rows[0]["prompt"][-1]["content"] not in chosen
    one_step(trainer)


def test_kto_takes_every_branch(run: Run, tokenizer: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    """Labels come through, also of branches that have no opposite."""
    rows = support.exported(run, "kto", tmp_path)
    trainer = KTOTrainer(
        support.make_model(tokenizer),
        ref_model=support.make_model(tokenizer),
        args=KTOConfig(max_length=None, per_device_train_batch_size=len(rows), **settings),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    assert set(rows["label"]) == {True, False} and len(rows) == len(list(run.branches()))
    one_step(trainer)


def online(settings: dict[str, Any]) -> GRPOConfig:
    return GRPOConfig(
        per_device_train_batch_size=8,
        num_generations=8,
        max_completion_length=300,
        max_tool_calling_iterations=6,
        **settings,
    )


def test_grpo_learns_in_environments_of_real_sandboxes(
    run: Run, tokenizer: Any, taught: dict[str, torch.Tensor], settings: dict[str, Any], tmp_path: Path
) -> None:
    """The reward is the verifier's: all for what was really mended, the old share for what was not."""
    seen: list[tuple[str, float | None]] = []

    def witness(completions: Any, environments: Any, **_: Any) -> list[None]:
        rewards = [environment.get_reward() for environment in environments]
        seen.extend((json.dumps(said), reward) for said, reward in zip(completions, rewards, strict=True))
        return [None] * len(rewards)

    model = support.make_model(tokenizer)
    model.load_state_dict(taught, strict=False)
    factory = environment_factory(TASKS)
    try:
        trainer = GRPOTrainer(
            model,
            reward_funcs=witness,
            args=online(settings),
            train_dataset=support.exported(run, "grpo", tmp_path),
            processing_class=tokenizer,
            environment_factory=factory,
        )
        logged = one_step(trainer)
    finally:
        factory.close()
    assert {MENDED in said for said, _ in seen} == {True, False}
    assert all(reward == (1.0 if MENDED in said else 0.6) for said, reward in seen)
    mean = sum(reward or 0.0 for _, reward in seen) / len(seen)
    assert logged["rewards/CodeTask/mean"] == pytest.approx(mean, abs=1e-5)
    assert logged["tools/failure_frequency"] == 0


class Forgetful:
    """A verifier that cannot tell what the first piece of work is worth, however often it is asked."""

    name = "forgetful"

    def __init__(self) -> None:
        self._real = declared()
        self._first: Submission | None = None

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        self._first = self._first or submission
        if submission is self._first:
            return Verdict(verifier=self.name, outcome="unknown", score=None, reason="forgot", infra=True)
        return await self._real.verify(submission, pool)


def test_grpo_learns_from_rollouts_played_here(
    tokenizer: Any, taught: dict[str, torch.Tensor], settings: dict[str, Any]
) -> None:
    """Log-probabilities are the model's own, what tools said is masked, and what could not be verified is missing."""
    model = support.make_model(tokenizer)
    model.load_state_dict(taught, strict=False)
    rollout = rollout_func(TASKS, verifier=Forgetful(), max_turns=6)
    played: dict[str, list[Any]] = {}
    expected: list[list[float]] = []

    def play(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        played.update(rollout(prompts, trainer))
        for prompt, said in zip(played["prompt_ids"], played["completion_ids"], strict=True):
            with torch.no_grad():
                logits = trainer.model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1]
            scores = torch.log_softmax(logits / trainer.temperature, dim=-1)
            expected.append(scores.gather(1, torch.tensor(said)[:, None])[:, 0].tolist())
        return dict(played)

    try:
        trainer = GRPOTrainer(
            model,
            reward_funcs=verifier_reward,
            args=online(settings),
            train_dataset=Dataset.from_list(prompt_rows(TASKS)),
            processing_class=tokenizer,
            rollout_func=play,
        )
        logged = one_step(trainer)
    finally:
        rollout.close()
    rewards = played["env_reward"]
    assert rewards.count(None) == 1
    assert logged["reward"] == pytest.approx(sum(r for r in rewards if r is not None) / 7, abs=1e-5)
    for i, ids in enumerate(played["completion_ids"]):
        mask, logprobs = played["env_mask"][i], played["logprobs"][i]
        assert len(ids) == len(mask) == len(logprobs)
        shown = tokenizer.decode([token for token, own in zip(ids, mask, strict=True) if not own])
        said = tokenizer.decode([token for token, own in zip(ids, mask, strict=True) if own])
        assert "<tool_response>" not in said and "<tool_call>" not in shown
        if rewards[i] is not None:
            assert rewards[i] == (1.0 if MENDED in shown else 0.6)
        pairs = [(a, b) for a, b, own in zip(logprobs, expected[i], mask, strict=True) if own]
        assert all(a == pytest.approx(b, abs=1e-3) for a, b in pairs)
    assert {r for r in rewards if r is not None} == {1.0, 0.6}


@pytest.fixture
def make_env() -> Iterator[Callable[..., Any]]:
    """Environments that are gone after the test."""
    factories = []

    def make(**options: Any) -> Any:
        factories.append(environment_factory(TASKS, **options))
        return factories[-1]()

    yield make
    for factory in factories:
        factory.close()


def test_a_model_is_shown_the_tools_that_the_task_has(make_env: Callable[..., Any]) -> None:
    """One definition: what transformers makes of the methods is the tools' own schema, as far as hints can say it."""
    env = make_env()
    specs = {spec.name: spec.openai()["function"] for spec in env._bench.specs}
    public = {name for name in dir(type(env)) if not name.startswith("_")}
    assert public == {*specs, "reset", "get_reward"}
    for name, spec in specs.items():
        shown = get_json_schema(getattr(env, name))["function"]
        assert (shown["name"], shown["description"]) == (name, spec["description"])
        theirs, ours = shown["parameters"], spec["parameters"]
        assert theirs.get("required", []) == ours.get("required", [])
        assert list(theirs["properties"]) == list(ours["properties"])
        for argument, about in ours["properties"].items():
            kinds = {about.get("type"), *(each["type"] for each in about.get("anyOf", ()))} - {None, "null"}
            assert {theirs["properties"][argument]["type"]} == kinds
            assert theirs["properties"][argument]["description"] == about["description"]


def test_whatever_a_model_writes_is_answered_and_nothing_follows_the_end(
    make_env: Callable[..., Any],
) -> None:
    """Wrong arguments are told to it; after `submit` nothing is done."""
    env = make_env()
    assert env.reset(task_id=support.TASK).startswith("# Last point missing")
    assert env.reset(task_id=support.TASK, prompt=[{"role": "user", "content": "go"}]) is None
    assert "`file` is not an argument" in env.read_file(file="series.py")
    env.submit()
    assert "handed in" in env.write_file(path="series.py", content="")
    assert env.get_reward() == env.get_reward() == 0.6


def test_a_sandbox_that_dies_leaves_no_reward_rather_than_none_at_all(make_env: Callable[..., Any]) -> None:
    """None is missing, and too many in a row end the training."""
    env = make_env(give_up_after=2)
    for last in (False, True):
        env.reset(task_id=support.TASK)
        env._bench.run(env._attempt._episode.kernel.close())
        assert "sandbox is gone" in env.run_tests()
        if last:
            with pytest.raises(EnvironmentLacks, match="2 attempts in a row have no reward"):
                env.get_reward()
        else:
            assert env.get_reward() is None


def test_a_row_of_another_task_is_refused(make_env: Callable[..., Any]) -> None:
    """Unknown, changed, unnamed, or told in other words."""
    env = make_env()
    with pytest.raises(ConfigError, match='no column "task_id"'):
        env.reset(prompt=[])
    with pytest.raises(ConfigError, match="'other': is not among the 1 tasks"):
        env.reset(task_id="other")
    with pytest.raises(ConfigError, match="has changed since the data set was written"):
        env.reset(task_id=support.TASK, task_digest="0" * 64)
    rollout = rollout_func(TASKS, generate=lambda *_: ([], []))
    with pytest.raises(ConfigError, match="no task of this training begins like the prompt 'Hello'"):
        rollout._task_of([{"role": "user", "content": "Hello"}])
    rollout.close()


def test_too_few_sandboxes_are_an_error_and_no_missing_reward(make_env: Callable[..., Any]) -> None:
    """Waiting for a sandbox that a completion of the same batch holds would never end."""
    first = make_env(max_kernels=1, wait_s=2)
    second = type(first)(first._bench)
    first.reset(task_id=support.TASK)
    with pytest.raises(ConfigError, match="max_kernels is 1: too few"):
        second.reset(task_id=support.TASK)
    rollout = rollout_func(TASKS, max_kernels=1)
    with pytest.raises(ConfigError, match="max_kernels is 1: too few for 2 completions"):
        rollout([[], []], None)
    rollout.close()
