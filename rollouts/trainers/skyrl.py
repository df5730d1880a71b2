"""SkyRL's text environment over a real sandbox, and finished rollouts as its generators give them.

    from rollouts.trainers.skyrl import register
    register()
    env = skyrl_gym.make("rollout_fork", env_config={"tasks": "suite"}, extras=row)

`row` is one of the export `skyrl_prompts`. Where SkyRL starts workers, name `rollouts.trainers.skyrl:SandboxTextEnv`
as the entry point of its own `register` there. Made for skyrl-gym 0.4.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.code_task import CodeTaskEnv
from envs.errors import TaskError

from ..errors import ConfigError, EnvironmentLacks
from ..exports.skyrl import ENV_CLASS

try:
    import skyrl_gym
    from skyrl_gym.envs.base_text_env import BaseTextEnv
except ImportError as error:
    raise EnvironmentLacks(f'needs SkyRL-gym ({error}): pip install "rollout-fork[skyrl]"') from None

#: A tool call as models of the Hermes and Qwen families write it, or in a fenced block; what is in it is read alone.
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)|```(?:json)?\n(.*?)(?:```|\Z)", re.DOTALL)
#: Characters of an action that are looked at for calls, and calls of one action that are carried out.
MAX_CHARS, MAX_CALLS = 256 * 1024, 16

#: Settings that `env_config` may hold besides `tasks`: keywords of `CodeTaskEnv`.
SETTINGS = ("backend", "backend_options", "max_kernels", "max_steps", "max_seconds", "max_observation_bytes")


def register(env_id: str = ENV_CLASS) -> None:
    """Make the environment known to skyrl-gym in this process, once."""
    if env_id not in skyrl_gym.registry:
        skyrl_gym.register(id=env_id, entry_point=f"{__name__}:SandboxTextEnv")


class SandboxTextEnv(BaseTextEnv):  # type: ignore[misc]  # skyrl-gym has no types
    """One task in a sandbox of its own, in text.

    `env_config`: `tasks` (what `envs.load_tasks` takes; default "suite") and `SETTINGS`. `extras`: the row, of which
    `extra_info.task_id` says which task, and `max_turns`, which SkyRL adds, bounds the steps.
    The reward is 0 until the episode ends, then the verifier's score in [0, 1]. Where the sandbox or the verifier
    fails, `EpisodeFailed` is raised: there is no reward, and none is made up.
    """

    def __init__(self, env_config: Any = None, extras: Mapping[str, Any] | None = None) -> None:
        """Raises `ConfigError` for a row without a task or a setting that is none, and `TaskError`."""
        super().__init__()
        config = {key: env_config[key] for key in env_config} if env_config else {}
        row = extras or {}
        task_id = (row.get("extra_info") or {}).get("task_id")
        if not isinstance(task_id, str):
            raise ConfigError(
                "the row has no extra_info.task_id; make the data set with the export skyrl_prompts"
            )
        if others := sorted(set(config) - {"tasks", *SETTINGS}):
            known = ", ".join(("tasks", *SETTINGS))
            raise ConfigError(f"environment.skyrl_gym.{ENV_CLASS}.{others[0]}: unknown; it takes {known}")
        tasks = config.pop("tasks", "suite")
        self.max_turns = int(row.get("max_turns") or config.get("max_steps") or 64)
        # Each action costs a step at least, so that the episode is over when SkyRL's turns are.
        config["max_steps"] = min(int(config.get("max_steps") or self.max_turns), self.max_turns)
        self._env = CodeTaskEnv(suite=tasks, task_ids=[task_id], **config)
        digest = (row.get("extra_info") or {}).get("task_digest")
        if digest is not None and self._env.tasks[task_id].digest != digest:
            self._env.close()
            raise TaskError(
                f"task {task_id}: the data set was made from another version of it than {tasks} has"
            )
        self._info: dict[str, Any] = {}

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """The prompt's system messages, and the task with its tools as the sandbox gives it."""
        self.turns = 0
        observation, self._info = self._env.reset()
        system = [dict(message) for message in prompt if message.get("role") == "system"]
        return [*system, {"role": "user", "content": observation}], _plain(self._info)

    def step(self, action: str) -> dict[str, Any]:
        """Carry out the tool calls of a reply in order, until the episode ends.

        Returns skyrl-gym's `BaseTextEnvStepOutput`: the results are one message of the user. A reply without a call
        costs a step, and is told how a call looks.
        """
        self.turns += 1
        seen, reward, done = list[str](), 0.0, False
        for call in _calls(action):
            observation, reward, terminated, truncated, self._info = self._env.step(call)
            seen.append(observation)
            done = terminated or truncated
            if done:
                break
        return {
            "observations": [] if done else [{"role": "user", "content": "\n\n".join(seen)}],
            "reward": float(reward),
            "done": done,
            "metadata": _plain(self._info),
        }

    def close(self) -> None:
        """Give the sandbox back. Idempotent."""
        self._env.close()

    def get_metrics(self) -> dict[str, Any]:
        """Of the episode: whether it was solved, and its steps."""
        if not self._info or not self._info["ending"]:
            return {}
        return {"solved": float(self._info["solved"]), "steps": int(self._info["steps"])}


def generator_output(path: Path | str) -> dict[str, Any]:
    """SkyRL's `GeneratorOutput` from a file of the export `skyrl_rollouts`: its rows' keys as lists.

    `trajectory_ids` are the keywords of SkyRL's `TrajectoryID`. Optional lists are None where a row has none.
    """
    with Path(path).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    keys = dict.fromkeys(key for row in rows for key in row if key != "metadata")
    columns: dict[str, Any] = {key: [row[key] for row in rows] for key in keys}
    for optional in ("rollout_logprobs", "process_rewards"):
        if any(value is None for value in columns.get(optional, ())):
            columns[optional] = None
    return {**columns, "rollout_metrics": None, "rollout_expert_indices": None}


def _calls(action: str) -> list[str]:
    """The calls of a reply, each as text of its own; a reply that marks none is taken whole."""
    marked = [one or other for one, other in _CALL.findall(action[:MAX_CHARS])]
    return [text.strip() for text in marked[:MAX_CALLS]] or [action]


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of `info` that SkyRL can write down."""
    kept = ("task_id", "ending", "stop", "solved", "steps", "tool_error")
    return {key: getattr(info[key], "item", lambda key=key: info[key])() for key in kept if key in info}
