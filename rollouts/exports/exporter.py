"""What an exporter is, and the lazy registry of them."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, Protocol

from ..errors import ConfigError
from .rollout import Rollout

Row = dict[str, Any]
Column = Literal["string", "int", "float", "bool"]

#: What most rows are written as.
TABLES = ("jsonl", "parquet")

#: name -> "module:class"; the class takes the exporter's options as keywords.
EXPORTERS = {
    "transitions": "rollouts.exports.transitions:Transitions",
    "sft": "rollouts.exports.sft:Sft",
    "dpo": "rollouts.exports.dpo:Dpo",
    "step_dpo": "rollouts.exports.step_dpo:StepDpo",
    "kto": "rollouts.exports.kto:Kto",
    "grpo": "rollouts.exports.grpo:Grpo",
    "ppo": "rollouts.exports.ppo:Ppo",
    "episodes": "rollouts.exports.neutral:Episodes",
    "verl_prompts": "rollouts.exports.verl:VerlPrompts",
    "verl_sft": "rollouts.exports.verl:VerlSft",
    "verl_rollouts": "rollouts.exports.verl:VerlRollouts",
    "skyrl_prompts": "rollouts.exports.skyrl:SkyrlPrompts",
    "skyrl_rollouts": "rollouts.exports.skyrl:SkyrlRollouts",
    "slime_prompts": "rollouts.exports.slime:SlimePrompts",
    "slime_samples": "rollouts.exports.slime:SlimeSamples",
    "prime_tasks": "rollouts.exports.prime:PrimeTasks",
    "prime_traces": "rollouts.exports.prime:PrimeTraces",
    "rllib": "rollouts.exports.rllib:Rllib",
    "minari": "rollouts.exports.minari:Minari",
}


class Exporter(Protocol):
    """Turns the admitted branches of one rollout into rows."""

    @property
    def name(self) -> str:
        """The name it is registered under, and of the files it fills."""
        ...

    @property
    def columns(self) -> Mapping[str, Column]:
        """Columns of scalars in Parquet; all other keys of a row go into the column `payload`, as JSON."""
        ...

    @property
    def formats(self) -> Sequence[str]:
        """The file formats it is written in, of `files.FILES`."""
        ...

    def rows(self, rollout: Rollout, excluded: Counter[str]) -> Iterator[Row]:
        """The rows of one rollout in a fixed order, as soon as they are known.

        `rollout` yields its branches by index, one in memory at a time unless they are kept, and knows what
        each step was worth (`rollout.credit`). A branch (or pair) that gives no row is counted in `excluded`
        under its reason. Rows are plain JSON data. Raises `ConfigError`, naming the field, for a run that
        lacks what the trainer cannot do without.
        """
        ...


def make_exporter(name: str, **options: Any) -> Exporter:
    """An exporter by name. Raises `ConfigError` for an unknown name or option."""
    check_formats([name])
    module, _, attribute = EXPORTERS[name].partition(":")
    make: Callable[..., Exporter] = getattr(import_module(module), attribute)
    try:
        return make(**options)
    except TypeError as error:
        raise ConfigError(f"export {name}: {error}") from None


def told_exports() -> dict[str, str]:
    """Every export with what it is, in a sentence."""
    told = {}
    for name, place in EXPORTERS.items():
        module, _, attribute = place.partition(":")
        about = inspect.getdoc(getattr(import_module(module), attribute)) or ""
        told[name] = " ".join(about.split("\n\n")[0].split())
    return told


def check_formats(names: Sequence[str]) -> None:
    """Raises `ConfigError` for the first name that is no export."""
    for name in names:
        if name not in EXPORTERS:
            near = difflib.get_close_matches(name, EXPORTERS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(EXPORTERS)}"
            raise ConfigError(f"export {name!r}: unknown; {hint}")
