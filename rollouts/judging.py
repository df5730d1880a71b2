"""The judge in a run: which branches it is asked about, at what price, and whether its word may decide.

It is asked only inside a tier, about pairs that a schedule chooses, in parallel rounds. What it answers is kept in
`judge.jsonl` of the run directory, so that a run that goes on asks nothing twice and its budget is one budget.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from envs.trajectory import Message
from ranking import SCHEDULES, BudgetTooSmall, Comparison, Question, Schedule, round_robin_calls, tiers
from ranking.tiers import PASSING
from verifiers.judge import Asked, Judge, JudgeBudget, JudgeFailed, JudgeReply, JudgeSpent, Preference, Score
from verifiers.judge_prompt import RUBRIC, Prompt, Work, leaks, pointwise_prompt
from verifiers.judge_prompt import VERSION as PROMPTS

from .config import JudgeConfig, RunConfig
from .errors import ConfigError, PolicyError
from .policies import Place, Policy, check_converses, make_policy
from .rankings import EQUAL, candidate, rank_rollout
from .records import BranchRecord, JudgedTier, JudgeSaid, Preferred, RankingRecord, Sampling
from .store.jsonl import Appender, Problems, read_lines

FILE = "judge.jsonl"
#: Options of a policy that do not change what it answers.
_NO_MATTER = ("api_key_env", "max_retries", "timeout_s")
_GIVEN_UP = 4  # questions in a row without any answer
_Line = tuple[str, str, Preferred, str]


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
    _policy_of(wanted)
    if wanted.calibration is not None:
        calibration_of(wanted)


def calibration_of(config: JudgeConfig) -> dict[str, Any]:
    """What `rollouts audit judge` wrote of this judge. Raises `ConfigError`."""
    path = Path(config.calibration or "")
    try:
        return read_calibration(path, judge_name(config))
    except ConfigError as error:
        raise ConfigError(f"judge.calibration: {error}") from None


def read_calibration(path: Path, judge: str) -> dict[str, Any]:
    """A file that `rollouts audit judge` wrote of this judge. Raises `ConfigError`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        name, low, findings, outcomes = (found[key] for key in ("judge", "auc", "findings", "outcomes"))
        low = low["low"]
        if not (low is None or (isinstance(low, int | float) and 0.0 <= low <= 1.0)):
            raise ValueError(f"an AUC of at least {low}")
        if not isinstance(findings, list) or not isinstance(outcomes, dict):
            raise ValueError("findings are a list, outcomes a mapping")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no calibration ({error}); write one with `rollouts audit judge`"
        ) from None
    if name != judge:
        raise ConfigError(f"{path} is of the judge {name}, not of {judge}")
    return dict(found)


def _policy_of(config: JudgeConfig) -> Policy:
    place = Place("judge.policy")
    policy = make_policy(config.policy.name, config.policy.options, place)
    check_converses(policy, place)
    return policy


def judge_name(config: JudgeConfig) -> str:
    """Says which judge it is: the policy, its model, how it is sampled, and a digest of all that shapes its answers."""
    model = config.policy.options.get("model", "")
    sampling = {"temperature": config.temperature, "effort": config.effort}
    told = ",".join(f"{name}={value}" for name, value in sampling.items() if value is not None)
    options = {name: value for name, value in config.policy.options.items() if name not in _NO_MATTER}
    shape = [options, sampling, config.max_tokens, config.samples, config.rubric or RUBRIC, PROMPTS]
    digest = sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return "/".join(filter(None, (config.policy.name, str(model), told, digest)))


class JudgeService:
    """The judge of a run with its memory on disk. `run_dir` None: nothing is kept. See `verifiers.judge.Asked`."""

    def __init__(self, config: JudgeConfig, run_dir: Path | None) -> None:
        self._policy = _policy_of(config)
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

    async def compare(self, instruction: str, first: Work, second: Work, *, sample: int = 0) -> Preference:
        """See `Asked`."""
        return await self.judge.compare(instruction, first, second, sample=sample)

    async def score(self, instruction: str, work: Work) -> Score:
        """See `Asked`."""
        return await self.judge.score(instruction, work)

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
    found = calibration_of(config)
    if found["findings"]:
        return False, f"its audit found: {found['findings'][0]}"
    low = found["auc"]["low"]
    if low is None or low < config.floor:
        return False, f"the lower bound of its AUC is {low}, below judge.floor {config.floor:g}"
    return True, f"the lower bound of its AUC is {low:.2f}, at least judge.floor {config.floor:g}"


class Answers:
    """Answers by question, in memory and on disk, one JSON line for each call and for each answer; and their cost."""

    def __init__(self, path: Path | None) -> None:
        self._known: dict[str, JudgeReply] = {}
        self._file: Appender | None = None
        self.spent = JudgeSpent()
        if path is not None:
            self._read(path)
            self._file = Appender(path)

    @classmethod
    def read(cls, path: Path) -> Answers:
        """What a file holds, without going on with it."""
        answers = cls(None)
        answers._read(path)
        return answers

    def _read(self, path: Path) -> None:
        for line in read_lines(path, Problems()):
            self._remember(line.data)

    def get(self, key: str) -> JudgeReply | None:
        """See `AnswerCache`."""
        return self._known.get(key)

    def asked(self, key: str) -> None:
        """See `AnswerCache`."""
        if self._file is not None:
            self._file.append_json({"asked": key, "at": time.time()})

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
            if "asked" in found:
                self.spent.calls += 1
                return
            reply = JudgeReply(str(found["text"]), found["tokens"], found["cost_usd"])
            self._known[str(found["key"])] = reply
        except (ValueError, KeyError, TypeError):
            return  # a question asked again costs a call, not an answer
        self.spent.tokens += reply.tokens or 0
        self.spent.cost_usd += reply.cost_usd or 0.0


async def ranked(config: RunConfig, judge: Asked | None, records: Sequence[BranchRecord]) -> RankingRecord:
    """The ranking of one rollout, with what the judge says of it where there is one."""
    if config.judge is None or judge is None:
        return rank_rollout(records)
    return rank_rollout(records, await judge_rollout(config.judge, judge, records))


async def judge_rollout(config: JudgeConfig, judge: Asked, records: Sequence[BranchRecord]) -> JudgeSaid:
    """Ask about the branches of one rollout; what `rank_rollout` takes and the ranking record keeps."""
    started = time.monotonic()
    records = sorted(records, key=lambda record: record.lineage.index)
    found = tiers([candidate(record) for record in records])
    wanted = [level for level in found if config.tiers == "all" or level == PASSING]
    bill = JudgeSpent()
    judged = [
        await _judge_tier(config, judge, [records[i] for i in found[level]], level, bill) for level in wanted
    ]
    decides, why = may_decide(config)
    return JudgeSaid(
        judge=judge_name(config),
        may_decide=decides,
        why=why,
        blind=all(tier.blind for tier in judged),
        schedule=config.schedule,
        repeat_correlation=config.repeat_correlation,
        calls=bill.calls,
        calls_round_robin=sum(tier.calls_round_robin for tier in judged),
        cached=bill.cached,
        tokens=bill.tokens,
        cost_usd=round(bill.cost_usd, 6),
        seconds=round(time.monotonic() - started, 3),
        tiers=judged,
    )


async def _judge_tier(
    config: JudgeConfig, judge: Asked, records: Sequence[BranchRecord], level: int, bill: JudgeSpent
) -> JudgedTier:
    works = [work_of(record) for record in records]
    # Equal changes are one work, whatever was said of them.
    same = [work.diff or work.digest for work in works]
    distinct = [place for place, key in enumerate(same) if same.index(key) == place]
    names = [record.lineage.branch_id for record in records]
    twins = [(same.index(key), place) for place, key in enumerate(same) if same.index(key) != place]
    told = JudgedTier(
        tier=level,
        branches=names,
        blind=all(not leaked(record) for record in records),
        calls_round_robin=round_robin_calls(len(distinct)),
        comparisons=[(names[twin], names[place], "tie", EQUAL) for twin, place in twins],
    )
    try:
        schedule = SCHEDULES[config.schedule](
            len(distinct),
            config.calls_per_tier,
            seed=config.seed,
            repeat_correlation=config.repeat_correlation,
        )
    except BudgetTooSmall as error:
        return told.model_copy(update={"stop": f"not asked: {error}"})
    asked = _Round(judge, records[0].task.instruction, [works[i] for i in distinct], bill)
    lines, stop = await _ask_all(asked, schedule, [names[i] for i in distinct])
    return told.model_copy(
        update={"comparisons": told.comparisons + lines, "rounds": asked.number, "stop": stop}
    )


class _Round:
    """Asks the questions of one round at the same time."""

    def __init__(self, judge: Asked, instruction: str, works: Sequence[Work], bill: JudgeSpent) -> None:
        self._judge, self._instruction, self._works, self._bill = judge, instruction, works, bill
        self.number = 0

    async def ask(self, questions: Sequence[Question]) -> list[Preference]:
        """One answer each, in their order; what they took goes on the bill."""
        self.number += 1
        works = self._works
        found = await asyncio.gather(
            *(
                self._judge.compare(self._instruction, works[q.first], works[q.second], sample=q.sample)
                for q in questions
            )
        )
        for preference in found:
            self._bill.add(preference.spent)
        return found


async def _ask_all(asked: _Round, schedule: Schedule, names: Sequence[str]) -> tuple[list[_Line], str]:
    """Round after round until the schedule ends, the budget is spent, or the judge does not answer.

    The lines of the record, and why it ended.
    """
    answers: list[Comparison] = []
    lines: list[_Line] = []
    silent = 0
    while questions := schedule.next(answers):
        found = await asked.ask(questions)
        for question, preference in zip(questions, found, strict=True):
            answers.append(Comparison(question.first, question.second, preference.outcome, source="judge"))
            lines.append(_line(question, preference, names))
        if any(preference.cause == "budget" for preference in found):
            return lines, "the judge's budget is spent"
        silent = 0 if any(p.outcome != "invalid" for p in found) else silent + len(found)
        if silent >= _GIVEN_UP:
            return lines, f"{silent} questions in a row without an answer ({found[-1].cause})"
    return lines, schedule.stop


def _line(question: Question, preference: Preference, names: Sequence[str]) -> _Line:
    """See `JudgedTier.comparisons`."""
    cause = preference.cause or ("swayed" if preference.swayed else "")
    return names[question.first], names[question.second], preference.outcome, cause


def work_of(record: BranchRecord) -> Work:
    """What a judge sees of a branch: its diff, its answer, and what its last commands printed."""
    messages = [message.openai() for message in record.trajectory.messages]
    return Work.of(record.result.diff, record.trajectory.answer or "", messages)


def leaked(record: BranchRecord) -> list[str]:
    """What a verifier said of a branch and a judge would see: nothing, unless the prompts are broken."""
    if record.result.verdict is None:
        return []
    work, instruction = work_of(record), record.task.instruction
    pieces = [instruction, work.diff, work.answer, work.evidence]
    return leaks(pointwise_prompt(instruction, work), record.result.verdict, pieces)


__all__ = ["JudgeService", "check_judge", "judge_rollout", "ranked", "work_of"]
