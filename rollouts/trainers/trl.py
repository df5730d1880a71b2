"""Online training with TRL's GRPOTrainer on tasks in real sandboxes.

    dataset = Dataset.from_list(prompt_rows(tasks))          # or an export: `rollouts export RUN --to grpo`
    GRPOTrainer(model, environment_factory=environment_factory(tasks), train_dataset=dataset, ...)
    GRPOTrainer(model, rollout_func=rollout_func(tasks), reward_funcs=verifier_reward, train_dataset=dataset, ...)

With the first TRL asks the model and calls the tools, on whichever backend it samples with. With the second it is
done here, all sandboxes of a batch at once, and log-probabilities are kept as sampled. TRL marks both hooks as
experimental; what is relied on is pinned in tests/trainers/test_trl.py (TRL 1.16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from envs import Task, ToolSpec
from envs.prompts import opening

from ..errors import ConfigError
from .attempt import Attempt, Bench, prompt_rows
from .trl_rollout import RolloutFunc, rollout_func, verifier_reward

__all__ = [
    "EnvironmentFactory",
    "RolloutFunc",
    "environment_factory",
    "prompt_rows",
    "rollout_func",
    "verifier_reward",
]


class EnvironmentFactory:
    """Makes environments of one bench. Costs nothing until an environment is reset; `close` ends all sandboxes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self._class = _environment_class(bench.specs)

    def __call__(self) -> Any:
        """An environment as TRL takes it: `reset`, `get_reward`, and the tools as methods."""
        return self._class(self.bench)

    def close(self) -> None:
        """End every sandbox. Idempotent."""
        self.bench.close()


def environment_factory(tasks: Path | str | Iterable[Task], **settings: Any) -> EnvironmentFactory:
    """What GRPOTrainer takes as `environment_factory`. `settings` are those of `Bench`.

    A row of the data set names its task in `task_id`, and in `task_digest` which version it means. Of `get_reward`
    None means that the machinery failed: TRL leaves such a completion out of its group's baseline and gives it no
    advantage. That holds while it is the only source of rewards: beside a reward function that does say a number
    TRL takes None for nothing, so a function that looks at `environments` should say None where one of them `_lost`.
    """
    return EnvironmentFactory(Bench(tasks, **settings))


class _Environment:
    """Every public method of this class but `reset` and `get_reward` would be a tool."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._attempt: Attempt | None = None

    def reset(self, **row: Any) -> str | None:
        """Begin the task of a row. Says the task where the row has no prompt. Raises `ConfigError`."""
        if self._attempt is not None:
            self._bench.run(self._attempt.close())
        if "task_id" not in row:
            raise ConfigError(
                'the data set has no column "task_id"; write it with `prompt_rows` or the export `grpo`'
            )
        task = self._bench.task(row["task_id"], row.get("task_digest"))
        self._attempt = self._bench.run(self._bench.begin(task))
        return None if row.get("prompt") else opening(task)[-1].content

    def get_reward(self) -> float | None:
        """The verifier's score in [0, 1], None when the machinery failed."""
        return None if self._attempt is None else self._bench.run(self._attempt.reward())

    @property
    def _lost(self) -> str:
        """Why there is no reward; "" where there is one."""
        return "" if self._attempt is None else self._attempt.lost

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if self._attempt is None:
            return "error: nothing has begun"
        return self._bench.run(self._attempt.call(name, arguments))


def _environment_class(specs: Iterable[ToolSpec]) -> type[_Environment]:
    """A class with the tools as methods. TRL logs rewards under its name."""
    methods: dict[str, Any] = {}
    for spec in specs:
        if not spec.name.isidentifier() or spec.name.startswith("_") or hasattr(_Environment, spec.name):
            raise ConfigError(
                f"the tool {spec.name!r} cannot be a method of TRL's environment; name it otherwise"
            )
        methods[spec.name] = _method(spec)
    return type("CodeTask", (_Environment,), methods)


def _method(spec: ToolSpec) -> Callable[..., str]:
    """A method with the signature and the docstring that say what the tool's schema says.

    Transformers makes the schema that a model sees from those two.
    """

    def method(self: _Environment, **arguments: Any) -> str:
        return self._call(spec.name, arguments)

    properties = spec.parameters.get("properties", {})
    required = spec.parameters.get("required", ())
    types = {name: _python_type(about) for name, about in properties.items()}
    parameters = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if name in required else properties[name].get("default"),
            annotation=kind,
        )
        for name, kind in types.items()
    ]
    lines = [f"    {name}: {about.get('description') or name}" for name, about in properties.items()]
    method.__name__ = method.__qualname__ = spec.name
    method.__doc__ = "\n".join([spec.description or spec.name, "", *(["Args:", *lines] if lines else [])])
    method.__annotations__ = {**types, "return": str}
    method.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *parameters], return_annotation=str
    )
    return method


def _python_type(schema: Mapping[str, Any]) -> Any:
    """The type hint that transformers turns back into this JSON schema, as far as hints can say it."""
    if "anyOf" in schema:
        first, *others = [_python_type(each) for each in schema["anyOf"]]
        for other in others:
            first = first | other
        return first
    kinds = {"string": str, "number": float, "integer": int, "boolean": bool, "null": None, "object": dict}
    if schema.get("type") == "array":
        return list[_python_type(schema["items"])] if schema.get("items") else list  # type: ignore[misc]
    return kinds.get(schema.get("type", ""), str)
