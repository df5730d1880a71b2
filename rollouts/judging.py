"""The judge in a run: which branches it is asked about, at what price, and whether its word may decide.

It is asked only inside a tier, about pairs that a schedule chooses, in parallel rounds. What it answers is kept in
`judge.jsonl` of the run directory, so that a run that goes on asks nothing twice and its budget is one budget.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.trajectory import Message
from kernel_pool.text import TextLimits, shorten
from ranking import SCHEDULES, BudgetTooSmall, Comparison, Question, Schedule, round_robin_calls, tiers
from ranking.tiers import PASSING
from verifiers.judge import Judge, JudgeBudget, JudgeFailed, JudgeReply, JudgeSpent, Preference
from verifiers.judge_prompt import RUBRIC, Prompt, Work, leaks, pointwise_prompt

from .config import JudgeConfig, RunConfig
from .errors import ConfigError, PolicyError
from .policies import Policy, make_policy
from .rankings import EQUAL, candidate
from .records import BranchRecord, Sampling
from .store.jsonl import Appender, Problems, read_lines

FILE = "judge.jsonl"
_EVIDENCE_OUTPUTS = 3  # the last outputs of commands that a judge sees
_EVIDENCE = TextLimits(max_bytes=3000, max_lines=60)
_GIVEN_UP = 4  # questions in a row without any answer


def check_judge(config: RunConfig) -> None:
    """Whether the judge can be made and may judge this run. Raises `ConfigError` and `EnvironmentLacks`."""
    wanted = config.judge
    if wanted is None:
        return
    model, own = wanted.policy.options.get("model", ""), config.policy.options.get("model", "")
    same = (wanted.policy.name, model) == (config.policy.name, own)
    if same and not wanted.allow_same_model:
        raise ConfigError(
            f"judge.policy: {wanted.policy.name} {model}".rstrip()
            + " is what the branches are made by, and a model favours its own work; choose another judge, or set "
            "judge.allow_same_model: true"
        )
    make_policy(wanted.policy.name, wanted.policy.options)
    if wanted.calibration is not None:
        calibration_of(wanted)


def calibration_of(config: JudgeConfig) -> dict[str, Any]:
    """What `rollouts audit judge` wrote of this judge. Raises `ConfigError`."""
    path = Path(config.calibration or "")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        name, low = found["judge"], found["auc"]["low"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"judge.calibration: {path} is no calibration ({error}); write one with `rollouts audit judge`"
        ) from None
    if name != judge_name(config) or not (low is None or isinstance(low, int | float)):
        raise ConfigError(f"judge.calibration: {path} is of {name}, not of {judge_name(config)}")
    return dict(found)


def judge_name(config: JudgeConfig) -> str:
    """Says which judge it is: the policy, its model, and how it is sampled."""
    model = config.policy.options.get("model", "")
    sampling = {"temperature": config.temperature, "effort": config.effort}
    told = ",".join(f"{name}={value}" for name, value in sampling.items() if value is not None)
    return "/".join(filter(None, (config.policy.name, str(model), told)))


class JudgePanel:
    """A judge with its memory on disk. `run_dir` None: nothing is kept."""

    def __init__(self, config: JudgeConfig, run_dir: Path | None) -> None:
        self.config = config
        self._policy: Policy = make_policy(config.policy.name, config.policy.options)
        self._sampling = Sampling(
            temperature=config.temperature, effort=config.effort, max_tokens=config.max_tokens
        )
        self._answers = Answers(run_dir / FILE if run_dir is not None else None)
        self.judge = Judge(
            self._ask,
            name=judge_name(config),
            budget=JudgeBudget(**config.budget.model_dump()),
            cache=self._answers,
            rubric=config.rubric or RUBRIC,
            samples=config.samples,
            max_concurrent=config.max_concurrent,
            timeout_s=config.timeout_s,
        )
        self.judge.spent = self._answers.spent
        self.may_decide, self.why = may_decide(config)
        self.turn = asyncio.Lock()  #: one rollout at a time, so that what it cost is its own

    async def close(self) -> None:
        """Close the policy and the file. Idempotent."""
        await self._policy.close()
        self._answers.close()

    async def _ask(self, prompt: Prompt, sample: int) -> JudgeReply:
        messages = [Message(role="system", content=prompt.system), Message(role="user", content=prompt.user)]
        try:
            reply = await self._policy.act(messages, (), self._sampling.model_copy(update={"seed": sample}))
        except PolicyError as error:
            raise JudgeFailed("timeout" if error.kind == "timeout" else "unavailable", str(error)) from None
        if reply.finish == "refusal":
            raise JudgeFailed("refusal", "the judge refused")
        if reply.finish == "context_overflow":
            raise JudgeFailed("unavailable", "the question does not fit into the judge's context")
        used = (reply.usage.input_tokens, reply.usage.output_tokens)
        tokens = None if used == (None, None) else sum(count or 0 for count in used)
        return JudgeReply(reply.message.content, tokens, reply.usage.cost_usd)


def may_decide(config: JudgeConfig) -> tuple[bool, str]:
    """Whether the judge's word may decide a winner, and why."""
    if config.floor is None:
        return True, "judge.floor is null: nothing is asked of it"
    if config.calibration is None:
        return False, "it has no calibration (`rollouts audit judge` writes one; judge.calibration names it)"
    low = calibration_of(config)["auc"]["low"]
    if low is None or low < config.floor:
        return False, f"the lower bound of its AUC is {low}, below judge.floor {config.floor:g}"
    return True, f"the lower bound of its AUC is {low:.2f}, at least judge.floor {config.floor:g}"


class Answers:
    """Answers by question, in memory and, one JSON line each, on disk; and what they have cost."""

    def __init__(self, path: Path | None) -> None:
        self._known: dict[str, JudgeReply] = {}
        self.spent = JudgeSpent()
        if path is not None:
            for line in read_lines(path, Problems()):
                self._remember(line.data)
        self._file = Appender(path) if path is not None else None

    def get(self, key: str) -> JudgeReply | None:
        """See `AnswerCache`."""
        return self._known.get(key)

    def put(self, key: str, reply: JudgeReply) -> None:
        """See `AnswerCache`."""
        self._known[key] = reply
        if self._file is not None:
            self._file.append_json({"key": key, "at": time.time(), **vars(reply)})

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()

    def _remember(self, data: bytes) -> None:
        try:
            found = json.loads(data)
            reply = JudgeReply(str(found["text"]), found["tokens"], found["cost_usd"])
            self._known[str(found["key"])] = reply
        except (ValueError, KeyError, TypeError):
            return  # a question asked again costs a call, not an answer
        self.spent.calls += 1
        self.spent.tokens += reply.tokens or 0
        self.spent.cost_usd += reply.cost_usd or 0.0


async def judge_rollout(panel: JudgePanel, records: Sequence[BranchRecord]) -> dict[str, Any]:
    """Ask about the branches of one rollout; what `rank_rollout` takes and the ranking record keeps."""
    async with panel.turn:
        return await _judge_all(panel, records)


async def _judge_all(panel: JudgePanel, records: Sequence[BranchRecord]) -> dict[str, Any]:
    started, before = time.monotonic(), JudgeSpent(**vars(panel.judge.spent))
    records = sorted(records, key=lambda record: record.lineage.index)
    found = tiers([candidate(record) for record in records])
    wanted = [level for level in found if panel.config.tiers == "all" or level == PASSING]
    judged = [await _judge_tier(panel, [records[i] for i in found[level]], level) for level in wanted]
    spent = panel.judge.spent
    return {
        "judge": panel.judge.name,
        "may_decide": panel.may_decide,
        "why": panel.why,
        "blind": all(tier["blind"] for tier in judged),
        "schedule": panel.config.schedule,
        "calls": spent.calls - before.calls,
        "calls_round_robin": sum(tier["calls_round_robin"] for tier in judged),
        "cached": spent.cached - before.cached,
        "tokens": spent.tokens - before.tokens,
        "cost_usd": round(spent.cost_usd - before.cost_usd, 6),
        "seconds": round(time.monotonic() - started, 3),
        "tiers": judged,
    }


async def judged(config: RunConfig, run_dir: Path, records: Sequence[BranchRecord]) -> dict[str, Any] | None:
    """The same with a judge of its own; None when the config names none."""
    if config.judge is None:
        return None
    panel = JudgePanel(config.judge, run_dir)
    try:
        return await judge_rollout(panel, records)
    finally:
        await panel.close()


async def _judge_tier(panel: JudgePanel, records: Sequence[BranchRecord], level: int) -> dict[str, Any]:
    works = [work_of(record) for record in records]
    # Equal changes are one work, whatever was said of them.
    same = [work.diff or work.digest for work in works]
    distinct = [place for place, key in enumerate(same) if same.index(key) == place]
    names = [record.lineage.branch_id for record in records]
    told: dict[str, Any] = {
        "tier": level,
        "branches": names,
        "blind": all(not leaked(record) for record in records),
        "calls_round_robin": round_robin_calls(len(distinct)),
        "comparisons": [],
        "rounds": 0,
    }
    for place, key in enumerate(same):
        if (twin := same.index(key)) != place:
            told["comparisons"].append([names[twin], names[place], "tie", EQUAL])
    try:
        schedule = SCHEDULES[panel.config.schedule](
            len(distinct), panel.config.calls_per_tier, seed=panel.config.seed
        )
    except BudgetTooSmall as error:
        return {**told, "stop": f"not asked: {error}"}
    instruction = records[0].task.instruction
    told["stop"] = await _ask_all(
        panel, schedule, instruction, [works[i] for i in distinct], told, [names[i] for i in distinct]
    )
    return told


async def _ask_all(
    panel: JudgePanel,
    schedule: Schedule,
    instruction: str,
    works: Sequence[Work],
    told: dict[str, Any],
    names: Sequence[str],
) -> str:
    """Round after round until the schedule ends, the budget is spent, or the judge does not answer; why it ended."""
    answers: list[Comparison] = []
    silent = 0
    while questions := schedule.next(answers):
        asked = (
            panel.judge.compare(instruction, works[q.first], works[q.second], sample=q.sample)
            for q in questions
        )
        found = await asyncio.gather(*asked)
        told["rounds"] += 1
        for question, preference in zip(questions, found, strict=True):
            answers.append(Comparison(question.first, question.second, preference.outcome, source="judge"))
            told["comparisons"].append(_line(question, preference, names))
        if any(preference.cause == "budget" for preference in found):
            return "the judge's budget is spent"
        silent = 0 if any(p.outcome != "invalid" for p in found) else silent + len(found)
        if silent >= _GIVEN_UP:
            return f"{silent} questions in a row without an answer ({found[-1].cause})"
    return schedule.stop


def _line(question: Question, preference: Preference, names: Sequence[str]) -> list[str]:
    """[first, second, outcome, cause]: "swayed" when only the order decided."""
    cause = preference.cause or ("swayed" if preference.swayed else "")
    return [names[question.first], names[question.second], preference.outcome, cause]


def work_of(record: BranchRecord) -> Work:
    """What a judge sees of a branch: its diff, its answer, and what its last commands printed."""
    outputs = [message.content for message in record.trajectory.messages if message.role == "tool"]
    shown = [shorten(text, _EVIDENCE).text for text in outputs[-_EVIDENCE_OUTPUTS:]]
    return Work(record.result.diff, record.trajectory.answer or "", "\n---\n".join(shown))


def leaked(record: BranchRecord) -> list[str]:
    """What a verifier said of a branch and a judge would see: nothing, unless the prompts are broken."""
    if record.result.verdict is None:
        return []
    work, instruction = work_of(record), record.task.instruction
    pieces = [instruction, work.diff, work.answer, work.evidence]
    return leaks(pointwise_prompt(instruction, work), record.result.verdict, pieces)


__all__ = ["JudgePanel", "check_judge", "judge_rollout", "judged", "work_of"]
