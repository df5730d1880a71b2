"""A run of two branches whose policy gave token ids and log-probabilities; of the second, one history was made anew."""

from __future__ import annotations

from pathlib import Path

from envs.trajectory import Message, Observation, Step, TokenRecord, ToolCall, Trajectory, Turn
from rollouts.records import (
    BranchRecord,
    EnvironmentLayer,
    Lineage,
    Result,
    Sampling,
    SamplingLayer,
    TaskLayer,
)
from rollouts.store import RunStore
from verifiers.verdict import Verdict

TOOL = {
    "type": "function",
    "function": {"name": "bash", "description": "run", "parameters": {"type": "object"}},
}


def record(index: int, reward: float, anew: bool) -> BranchRecord:
    """Two replies with a result between them; with `anew` the second prompt does not go on from the first."""
    call = ToolCall(id="c0", name="bash", arguments={"command": "ls"})
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="Mend it."),
        Message(role="assistant", content="Look.", tool_calls=(call,)),
        Message(role="tool", content="calc.py", tool_call_id="c0", name="bash"),
        Message(role="assistant", content="Done."),
    ]
    second = [9, 9] if anew else [1, 2, 3, 4, 5]
    given = [
        TokenRecord(prompt_ids=[1, 2], completion_ids=[3, 4], logprobs=[-0.25, -0.5]),
        TokenRecord(prompt_ids=second, completion_ids=[6], logprobs=[-0.75]),
    ]
    turns = [
        Turn(index=i, message=at, seconds=0.5, finish=finish, tokens=tokens)
        for i, (at, finish, tokens) in enumerate(zip((2, 4), ("tool_calls", "stop"), given, strict=True))
    ]
    seen = Observation(text="calc.py", exit_code=0)
    step = Step(
        index=0, turn=0, message=2, call=0, result=3, tool="bash", observation=seen, started_s=0, seconds=1
    )
    return BranchRecord(
        lineage=Lineage(run_id="r", rollout_id="t", branch_id=f"b00{index}", index=index),
        task=TaskLayer(task_id="t", digest="d", instruction="Mend it."),
        environment=EnvironmentLayer(backend="local", restores="files", isolated=True, base="x"),
        sampling=SamplingLayer(
            policy="openai", model="small", requested=Sampling(), effective={"temperature": 0.5}
        ),
        trajectory=Trajectory(messages=messages, tools=[TOOL], turns=turns, steps=[step], stop="stopped"),
        result=Result(
            ending="solved" if reward == 1 else "failed",
            reward=reward,
            steps=1,
            verdict=Verdict(verifier="build", outcome="pass" if reward == 1 else "fail", score=reward),
        ),
    )


def write_run(place: Path) -> RunStore:
    """The run in a directory of its own, opened for reading."""
    with RunStore.create(place / "run", "branches: 2\n", run_id="r", sync=False) as store:
        writer = store.writer("driver")
        assert writer.append(record(0, 1.0, anew=False))
        assert writer.append(record(1, 0.0, anew=True))
    return RunStore.open(place / "run")
