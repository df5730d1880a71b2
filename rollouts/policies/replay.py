"""A policy that says again what a recorded branch said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from envs.tools import ToolSpec
from envs.trajectory import Message, Trajectory, Usage

from ..errors import ConfigError, RecordError
from ..records import BranchRecord, Sampling
from .place import OptionError
from .policy import Finish, PolicyReply

_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "refusal": "refusal",
    "context_overflow": "context_overflow",
}


class ReplayOptions(BaseModel):
    """Options of the policy `replay`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path  #: branch records (JSON lines), or one record or trajectory as JSON
    branch: str | None = None  #: branch_id, or rollout_id/branch_id; needed when the file holds several


class ReplayPolicy:
    """Plays a branch's assistant messages in order. Which one is next is the number of replies already in
    the conversation, so a replay can start from any prefix of it. After the last one it says nothing and
    stops. What tools answer may differ from the record: a replay repeats decisions, not results."""

    Options = ReplayOptions
    name = "replay"
    model = ""
    converses = True
    log_probs = False

    def __init__(self, options: ReplayOptions | None = None, trajectory: Trajectory | None = None) -> None:
        if trajectory is None:
            if options is None:
                raise ConfigError("policy 'replay' needs a file or a trajectory")
            trajectory = _find(options)
        self._replies = _replies(trajectory)

    @classmethod
    def of(cls, source: Trajectory | BranchRecord) -> ReplayPolicy:
        """Of a trajectory, or of the one in a branch record."""
        return cls(trajectory=source.trajectory if isinstance(source, BranchRecord) else source)

    def __len__(self) -> int:
        return len(self._replies)

    def check(self, samplings: Sequence[Sampling]) -> list[str]:
        """See `Policy.check`."""
        return ["a replay says the same in every branch"] if len(samplings) > 1 else []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], sampling: Sampling
    ) -> PolicyReply:
        """The recorded reply at this position."""
        position = sum(m.role == "assistant" for m in messages)
        if position >= len(self._replies):
            return PolicyReply(Message(role="assistant"), "stop", events=({"kind": "replay_exhausted"},))
        message, finish = self._replies[position]
        return PolicyReply(message, finish, Usage(input_tokens=0, output_tokens=0, cost_usd=0.0))

    async def close(self) -> None:
        """Nothing to free."""


def _replies(trajectory: Trajectory) -> list[tuple[Message, Finish]]:
    finishes = {turn.message: turn.finish for turn in trajectory.turns}
    out: list[tuple[Message, Finish]] = []
    for index, message in enumerate(trajectory.messages):
        if message.role == "assistant":
            usual: Finish = "tool_calls" if message.tool_calls else "stop"
            out.append((message, _FINISHES.get(finishes.get(index, ""), usual)))
    return out


def _find(options: ReplayOptions) -> Trajectory:
    """The one trajectory that the options mean."""
    found: dict[str, Trajectory] = {}
    for name, trajectory in _read(options.file):
        wanted = options.branch
        if wanted is None or wanted in (name, name.rpartition("/")[2]):
            found[name] = trajectory
    if len(found) == 1:
        return next(iter(found.values()))
    what = f"branch {options.branch!r}" if options.branch else "branch"
    if not found:
        raise OptionError("branch" if options.branch else "file", f"no {what} in {options.file}")
    names = ", ".join(sorted(found)[:6])
    raise OptionError("branch", f"{options.file} holds {len(found)}; name one of {names}")


def _read(path: Path) -> Iterator[tuple[str, Trajectory]]:
    """(rollout_id/branch_id, trajectory) of each record of a file, read line by line."""
    try:
        with path.open(encoding="utf-8") as lines:
            if path.suffix == ".json":
                yield _parse(lines.read(), str(path))
                return
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parse(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("file", f"{path} cannot be read ({error})") from None


def _parse(text: str, place: str) -> tuple[str, Trajectory]:
    try:
        record = BranchRecord.model_validate_json(text)
    except ValidationError as error:
        try:
            return "trajectory", Trajectory.model_validate_json(text)
        except ValidationError:
            first = error.errors(include_url=False)[0]
            if first["loc"] == ("trajectory", "shared"):
                mend = "write out the whole record that `rollouts.load(RUN).branches()` gives"
                raise RecordError(f"{place}: the first steps stand in its parent's line; {mend}") from None
            where = ".".join(str(part) for part in first["loc"])
            reason = f"neither a branch record nor a trajectory ({where}: {first['msg']})"
            raise RecordError(f"{place}: {reason}") from None
    return f"{record.lineage.rollout_id}/{record.lineage.branch_id}", record.trajectory
