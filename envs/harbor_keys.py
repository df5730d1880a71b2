"""Harbor's own keys in `task.toml` that change nothing here: checked all the same, and told.

Keys that a task depends on are read where they are used (`task_dir.py`). What stands here would otherwise
hold anything, and the task would be refused only later, by the tool it was written for.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from .task_toml import TomlFile

_Network = Literal["public", "no-network", "allowlist"]
_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Whole = Annotated[int, Field(gt=0)]


class _Top(BaseModel):
    schema_version: str = ""
    artifacts: list[str | dict[str, Any]] = []


class _About(BaseModel):
    version: str | None = None
    description: str = ""
    authors: list[dict[str, Any]] = []
    keywords: list[str] = []


class _Environment(BaseModel):
    network_mode: _Network = "public"
    allowed_hosts: list[str] | None = None
    allow_internet: bool | None = None
    os: Literal["linux"] = "linux"
    cpus: _Amount | None = None
    memory_mb: _Whole | None = None
    storage_mb: _Whole | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    gpu_types: list[str] | None = None


class _Agent(BaseModel):
    network_mode: _Network | None = None
    allowed_hosts: list[str] | None = None
    user: str | int | None = None


class _Verifier(_Agent):
    environment_mode: Literal["shared", "separate"] | None = None
    collect: list[dict[str, Any]] = []


class _Solution(BaseModel):
    env: dict[str, str] = {}


_TABLES: dict[str, type[BaseModel]] = {
    "task": _About,
    "environment": _Environment,
    "agent": _Agent,
    "verifier": _Verifier,
    "solution": _Solution,
}

#: Keys that Harbor would act upon, and what happens here instead.
_TOLD = {
    ("agent", "user"): "commands run as the sandbox's own user",
    ("agent", "network_mode"): "the back-end decides",
    ("verifier", "user"): "tests run as the sandbox's own user",
    ("verifier", "network_mode"): "the back-end decides",
    ("verifier", "environment_mode"): "tests run in a fresh fork of the last state",
    ("verifier", "environment"): "tests run in a fresh fork of the last state",
    ("verifier", "collect"): "nothing but the result is collected",
}


def check_harbor_keys(toml: TomlFile) -> list[str]:
    """Report wrong values with their line in `toml.problems`; returns a sentence for each key not acted upon."""
    _check(toml, (), _Top, toml.data)
    for name, model in _TABLES.items():
        _check(toml, (name,), model, _table(toml, name))
    told = [
        f"{table}.{key} is not used: {why}"
        for (table, key), why in _TOLD.items()
        if key in _table(toml, table)
    ]
    return [*told, *(["artifacts are not collected"] if toml.data.get("artifacts") else [])]


def _check(toml: TomlFile, keys: tuple[str, ...], model: type[BaseModel], data: dict[str, Any]) -> None:
    try:
        model.model_validate(data)
    except ValidationError as error:
        told: set[str] = set()  # a union reports one error for each of its types
        for issue in error.errors(include_url=False, include_context=False):
            key = str(issue["loc"][0])
            if key not in told:
                told.add(key)
                toml.problem(
                    (*keys, key), f"is wrong: {issue['msg'][:200]}, not {str(issue['input'])[:40]!r}"
                )


def _table(toml: TomlFile, name: str) -> dict[str, Any]:
    data = toml.data.get(name)
    return data if isinstance(data, dict) else {}
