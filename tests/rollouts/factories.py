"""Realistic branch records for tests: real classes, valid conversations, everything adjustable."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from envs.lineage import cut
from envs.trajectory import Message, Observation, Step, TokenRecord, ToolCall, Trajectory, Turn, Usage
from rollouts.records import (
    BranchRecord,
    EnvironmentLayer,
    Lineage,
    RankingRecord,
    Result,
    Sampling,
    SamplingLayer,
    TaskLayer,
)
from verifiers.verdict import CheckResult, Verdict

INSTRUCTION = "The function `total` in cart.py adds the prices of a shopping cart wrongly. Fix it so that all tests pass."
DIFF = "--- a/cart.py\n+++ b/cart.py\n@@ -1,3 +1,3 @@\n def total(cart):\n-    return sum(cart) - 1\n+    return sum(cart)\n"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} in the workspace",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for name in ("bash", "read_file", "edit_file", "run_tests", "submit")
]

#: (tool, arguments, output, exit code, whether the state changed)
Action = tuple[str, dict[str, Any] | None, str, int | None, bool]
FIX: tuple[Action, ...] = (
    ("run_tests", {}, "FAILED test_cart.py::test_total - assert 5 == 6", 1, False),
    ("read_file", {"path": "cart.py"}, "def total(cart):\n    return sum(cart) - 1\n", None, False),
    ("edit_file", {"path": "cart.py", "old": "sum(cart) - 1", "new": "sum(cart)"}, "edited", None, True),
    ("run_tests", {}, "3 passed", 0, False),
    ("submit", {"answer": "fixed the off-by-one"}, "submitted", None, False),
)
MISS: tuple[Action, ...] = (
    ("read_file", {"path": "cart.py"}, "def total(cart):\n    return sum(cart) - 1\n", None, False),
    ("edit_file", {"path": "cart.py", "old": "- 1", "new": "- 2"}, "edited", None, True),
    ("submit", {"answer": "done"}, "submitted", None, False),
)


def make_record(
    index: int = 0,
    ending: str = "solved",
    *,
    run_id: str = "run-1",
    rollout_id: str = "cart-total",
    task_id: str | None = None,
    instruction: str = INSTRUCTION,
    actions: tuple[Action, ...] | None = None,
    diff: str = DIFF,
    reward: float | None = None,
    outcome: str | None = None,
    parent: BranchRecord | None = None,
    fork_step: int = 0,
    examples: str = "",
    system: str = "You are a careful programmer.",
    temperature: float | None = 0.8,
    tokens: bool = False,
) -> BranchRecord:
    """A branch that ended as `ending`. With `parent`, one that shares its first `fork_step` steps. With `tokens`,
    one whose policy gave token ids and log-probabilities."""
    missing = ending in ("policy_error", "infra_error", "cancelled")
    actions = actions if actions is not None else (FIX if ending == "solved" else MISS)
    branch_id = f"b{index:03d}"
    if parent is not None:
        trajectory = cut(parent.trajectory, fork_step)
    else:
        user = f"{instruction}\n\n{examples}" if examples else instruction
        trajectory = Trajectory(
            messages=[Message(role="system", content=system), Message(role="user", content=user)], tools=TOOLS
        )
    for action in actions:
        _take(trajectory, branch_id, action, tokens)
    trajectory.answer = "done" if actions and actions[-1][0] == "submit" else None
    trajectory.stop = {"truncated": "steps"}.get(ending, "submitted")
    verdict = None if missing else _verdict(outcome or ("pass" if ending == "solved" else "fail"))
    if reward is None and verdict is not None:
        reward = verdict.score
    task_id = task_id or rollout_id
    return BranchRecord(
        lineage=Lineage(
            run_id=run_id,
            rollout_id=rollout_id,
            branch_id=branch_id,
            index=index,
            parent=parent.lineage.branch_id if parent else None,
            fork_step=fork_step,
            fork_state=_digest("base"),
        ),
        task=TaskLayer(task_id=task_id, digest=_digest(task_id + instruction), instruction=instruction),
        environment=EnvironmentLayer(
            backend="local", restores="files+env", isolated=True, base=_digest("base")
        ),
        sampling=SamplingLayer(policy="mutation", requested=Sampling(temperature=temperature, seed=index)),
        trajectory=trajectory,
        result=Result(
            ending=ending,  # type: ignore[arg-type]
            reward=reward,
            verdict=verdict,
            error="sandbox died" if missing else "",
            final_state=_digest(branch_id),
            diff=diff,
            steps=len(actions),
            turns=len(actions),
            seconds=1.5,
            started_at=1_780_000_000.0 + index,
        ),
    )


def make_ranking(rollout_id: str = "cart-total", winner: str | None = "b000") -> RankingRecord:
    """A ranking of two branches."""
    order = [
        {"branch_id": f"b{i:03d}", "rank": i + 1, "tier": i, "theta": None, "se": None, "component": 0}
        for i in (0, 1)
    ]
    return RankingRecord(
        run_id="run-1",
        rollout_id=rollout_id,
        task_id=rollout_id,
        winner=winner,
        winner_reason="the only one that passed",
        order=order,
        missing=[],
        power={"n": 2, "powered": False},
        comparisons=1,
        invalid=0,
        converged=True,
        components=1,
    )


def _take(t: Trajectory, branch: str, action: Action, tokens: bool) -> None:
    """One reply with one call, and its result."""
    tool, arguments, output, code, changed = action
    call = ToolCall(
        id=f"call_{branch}_{len(t.steps)}",
        name=tool,
        arguments=arguments,
        raw="{not json" if arguments is None else "",
    )
    at = len(t.messages)
    given = _tokens(t, f"Next: {tool}") if tokens else None
    t.messages.append(Message(role="assistant", content=f"Next: {tool}", tool_calls=(call,)))
    t.messages.append(Message(role="tool", content=output, tool_call_id=call.id, name=tool))
    usage = Usage(input_tokens=100, output_tokens=20)
    turn = Turn(
        index=len(t.turns),
        message=at,
        seconds=0.1,
        finish="tool_calls",
        usage=usage,
        log_prob=-0.5,
        tokens=given,
    )
    t.turns.append(turn)
    state = (
        _digest(f"{branch}{len(t.steps)}") if changed else (t.steps[-1].state if t.steps else _digest("base"))
    )
    t.steps.append(
        Step(
            index=len(t.steps),
            turn=turn.index,
            message=at,
            call=0,
            result=at + 1,
            tool=tool,
            observation=Observation(
                text=output, exit_code=code, full_bytes=len(output), full_digest=_digest(output)
            ),
            started_s=float(len(t.steps)),
            seconds=0.1,
            state=state,
            log_prob=-0.5,
        )
    )


def _tokens(t: Trajectory, said: str) -> TokenRecord:
    """What a server says that never tokenises a history anew: a letter is a token."""
    ids = [ord(letter) for letter in said]
    last = t.turns[-1].tokens if t.turns else None
    if last is None:
        prompt = [ord(letter) for message in t.messages for letter in message.content]
    else:
        result = [ord(letter) for letter in t.messages[-1].content]
        prompt = [*(last.prompt_ids or ()), *(last.completion_ids or ()), *result]
    return TokenRecord(prompt_ids=prompt, completion_ids=ids, logprobs=[-i / 64 for i in range(len(ids))])


def _verdict(outcome: str) -> Verdict:
    passed = outcome == "pass"
    score = None if outcome == "unknown" else (1.0 if passed else 1 / 3)
    checks = tuple(
        CheckResult(id=f"test_{i}", outcome="pass" if passed or i == 0 else "fail") for i in range(3)
    )
    return Verdict(
        verifier="build", outcome=outcome, score=score, checks=checks, command="bash /tests/test.sh"
    )  # type: ignore[arg-type]


def _digest(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()
