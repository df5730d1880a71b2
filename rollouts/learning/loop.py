"""The loop: rollouts with the present weights, their export, new weights, again; then a comparison.

    base -> [rollouts -> transitions -> update] x rounds, twice -> `compare` on programs never trained on

Two arms start from the same weights and learn from the same number of environment steps. `tree` forks its
branches and credits each step against its siblings; `group` runs independent branches and credits each branch
against the others of its task. Every stage leaves a file and is not run again when that file is there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from kernel_pool import KernelPool
from kernel_pool.registry import backend

from .. import api
from ..audits import RunComparison, compare_runs
from ..config import RunConfig
from ..errors import ConfigError
from ..policies.mutation.weights import DEFAULTS, NAMES, Floats, vector
from .tasks import read_programs, shuffled, split, write_tasks
from .update import Credit, Row, StepSize, Update, read_rollouts, scores_of, update

ARMS: tuple[Credit, ...] = ("tree", "group")
Say = Callable[[str], None]
#: In place of a round's number: seeds that no round has, and no export.
EVALUATION = 1000
CPU_S = 1.5  #: seconds of CPU that a command may take


@dataclass(frozen=True)
class Settings:
    """One experiment; equal settings give equal figures."""

    seed: int = 0
    base: Literal["shipped", "flat"] = "shipped"  #: where learning begins; flat: every weight 0
    rounds: int = 3
    training: int = 24  #: programs to learn on, of those that are for that
    held_out: int = 60  #: of the others, programs to compare on
    mutants: int = 1  #: training tasks of a program; a held-out program has one, so tasks are independent
    tries: int = 6  #: edits a branch may test
    #: branches of a training task; those of `tree` are what its forks branch off
    branches: Mapping[str, int] = field(default_factory=lambda: {"tree": 1, "group": 4})
    #: how the branches of `tree` are forked (the section `fork` of a config, one round): after the first edit that
    #: did not mend the code. What went before is shared, and its steps are taken once
    fork: Mapping[str, Any] = field(default_factory=lambda: {"at": "recovery", "branches": 5})
    seeds: int = 2  #: branches of a held-out task
    step: StepSize = field(default_factory=StepSize)


@dataclass(frozen=True)
class Round:
    """One round of one arm."""

    arm: Credit
    number: int
    pass_rate: float  #: with the weights before the update; the forks of a branch count as one with it
    branches: int
    steps: int  #: environment steps (tool calls) that were taken
    learned_steps: int  #: of whole rollouts within the steps that both arms had; the others taught nothing
    update: Update


@dataclass(frozen=True)
class Learned:
    """What came of it."""

    settings: Settings
    rounds: tuple[Round, ...]
    runs: dict[str, Path]  #: "base" and the arms -> the run on held-out programs
    against_base: dict[str, RunComparison]  #: arm -> against the base, p corrected for both (Holm)
    tree_against_group: RunComparison


def learn(out: Path, settings: Settings, say: Say = print) -> Learned:
    """Learn and compare in the directory `out`; goes on where an earlier call with the same settings stopped.

    Raises `ConfigError` when the directory belongs to other settings, and what runs raise.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out / "settings.yaml", settings)
    training, held_out = task_lists(out, settings, say)
    for arm in ARMS:
        save_weights(out / arm / "weights-0.json", vector(origin(settings)))
    rounds: list[Round] = []
    for number in range(settings.rounds):
        rounds += _round(out, settings, training, number, say)
    last = {"base": out / "tree" / "weights-0.json"}
    last |= {arm: out / arm / f"weights-{settings.rounds}.json" for arm in ARMS}
    runs = {name: out / f"held-out-{name}" for name in last}
    for name, weights in last.items():
        say(f"held-out programs, weights {name}")
        _run(_config(settings, held_out, weights, settings.seeds, EVALUATION), runs[name])
    tree, group = compare_runs([runs["base"], runs["tree"], runs["group"]])
    between = compare_runs([runs["group"], runs["tree"]])[0]
    return Learned(settings, tuple(rounds), runs, {"tree": tree, "group": group}, between)


def task_lists(out: Path, settings: Settings, say: Say) -> tuple[Path, Path]:
    """The lists of training and of held-out tasks, made once."""
    lists = out / "tasks" / "training.jsonl", out / "tasks" / "held-out.jsonl"
    learned, kept = (shuffled(programs, settings.seed) for programs in split(read_programs()))
    plans = (learned[: settings.training], settings.mutants), (kept[: settings.held_out], 1)

    async def make() -> None:
        sandbox = backend("local")
        pool = KernelPool(sandbox, 4)
        try:
            for path, (programs, each) in zip(lists, plans, strict=True):
                if not path.exists():
                    part = path.with_suffix(".part")
                    ids = await write_tasks(part, programs, each, settings.seed, pool)
                    part.rename(path)
                    say(f"{path.name}: {len(ids)} tasks of {len(programs)} programs")
        finally:
            await pool.close()
            await sandbox.close()

    asyncio.run(make())
    return lists


def _round(out: Path, settings: Settings, tasks: Path, number: int, say: Say) -> Iterator[Round]:
    """Both arms: rollouts, and an update from as many environment steps as both of them have."""
    collected: dict[Credit, list[list[Row]]] = {}
    for arm in ARMS:
        weights, run = out / arm / f"weights-{number}.json", out / arm / f"round-{number}"
        collected[arm] = collect(settings, tasks, weights, arm, number, run)
    budget = min(sum(map(len, rollouts)) for rollouts in collected.values())
    for arm, rollouts in collected.items():
        before = vector(out / arm / f"weights-{number}.json")
        within = _within(rollouts, budget)
        made = update(before, vector(origin(settings)), scores_of(within, arm), settings.step)
        save_weights(out / arm / f"weights-{number + 1}.json", made.weights)
        taken, learned = sum(map(len, rollouts)), sum(map(len, within))
        rate, branches = _pass_rate(rollouts)
        say(f"round {number + 1}, {arm}: {rate:.1%} solved, {branches} branches, {taken} steps")
        yield Round(arm, number, rate, branches, taken, learned, made)


def collect(
    settings: Settings, tasks: Path, weights: Path, arm: Credit, number: int, run: Path
) -> list[list[Row]]:
    """The exported steps of one batch of rollouts in the run directory `run`; `number` sets its seed."""
    fork = dict(settings.fork) if arm == "tree" else None
    _run(_config(settings, tasks, weights, settings.branches[arm], number, fork), run)
    return list(read_rollouts(run / "exports" / "transitions" / "transitions.jsonl"))


def _config(
    settings: Settings,
    tasks: Path,
    weights: Path,
    branches: int,
    number: int,
    fork: Mapping[str, Any] | None = None,
) -> RunConfig:
    """One run. Nothing is kept, shown or confirmed that learning has no use for."""
    return RunConfig.model_validate(
        {
            "tasks": str(tasks),
            "branches": branches,
            "seed": 10_000 * settings.seed + number,
            "policy": {"options": {"weights": str(weights), "tries": settings.tries}},
            "budget": {"seconds": 600.0},
            "verify": {"confirm": None},
            "memory": {"enabled": False},
            "engine": {"kind": "inline"},
            # Many edits of a loop never end; tests of small functions take a tenth of this.
            "backend": {"limits": {"cpu_s": CPU_S}},
            "fork": fork,
            "snapshots": "changes" if fork else "off",
            "exports": [] if number >= EVALUATION else ["transitions"],
            "report": False,
        }
    )


def _run(config: RunConfig, out: Path) -> None:
    """Run, unless it was run to its end before."""
    done = out.with_name(f"{out.name}.done")
    if not done.exists():
        api.run(config, out)
        done.touch()


def _within(rollouts: Sequence[list[Row]], budget: int) -> list[list[Row]]:
    """Whole rollouts in their order, as long as they fit; a row is a step."""
    kept: list[list[Row]] = []
    for rows in rollouts:
        budget -= len(rows)
        if budget < 0:
            break
        kept.append(rows)
    return kept


def _pass_rate(rollouts: Sequence[list[Row]]) -> tuple[float, int]:
    """(the share solved, how many branches). The mean over a branch and its forks is one draw of the policy:
    where branches are forked depends on what they tried, so they must not outvote those that are not."""
    endings = {
        (row["rollout_id"], row["parent"] or row["branch_id"], row["branch_id"]): row["ending"]
        for rows in rollouts
        for row in rows
    }
    draws: dict[tuple[str, str], list[bool]] = {}
    for (rollout, root, _), ending in endings.items():
        draws.setdefault((rollout, root), []).append(ending == "solved")
    return sum(sum(ends) / len(ends) for ends in draws.values()) / len(draws), len(endings)


def origin(settings: Settings) -> dict[str, float]:
    """The weights that learning begins with."""
    return dict(DEFAULTS) if settings.base == "shipped" else dict.fromkeys(NAMES, 0.0)


def save_weights(path: Path, weights: Floats) -> None:
    """As the mutation policy's option `weights` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = dict(zip(NAMES, map(float, weights), strict=True))
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _claim(path: Path, settings: Settings) -> None:
    text = yaml.safe_dump(asdict(settings), sort_keys=False)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(f"{path}: belongs to other settings; choose another --out, or repeat that call")
    path.write_text(text, encoding="utf-8")
