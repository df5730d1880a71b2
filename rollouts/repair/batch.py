"""Many tasks, modes and seeds into one directory, resumable: `DIR/compliance.jsonl`, one record a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from envs import Task
from verifiers.constraints import ConstraintError, ConstraintSet, read_constraints

from ..errors import ConfigError
from ..fork import task_layer
from ..policies import Policy
from ..store import Appender, Problems, dump_json
from ..store.jsonl import read_lines
from .compliance import run_compliance
from .records import ComplianceRecord, Mode
from .workshop import RepairSettings, check_one_text

FILE = "compliance.jsonl"


@dataclass(frozen=True)
class ComplyResult:
    """What a batch did."""

    path: Path  #: of compliance.jsonl
    written: int  #: records of this call
    resumed: int  #: that were there already
    missing: int  #: of those written


async def comply(
    tasks: Sequence[Task],
    policy: Policy,
    out: Path,
    *,
    modes: Sequence[Mode] = ("full_pcl",),
    seeds: Sequence[int] = (0,),
    settings: RepairSettings | None = None,
    concurrency: int = 4,
    on_record: Callable[[ComplianceRecord], None] | None = None,
) -> ComplyResult:
    """Run each task once in each mode with each seed, and append the records as they end.

    What `out` holds already is not run again, except records that are missing (a failed endpoint): those get
    another line, and the later one counts. Raises `ConfigError` for a task without constraints, or when
    records there come from another policy or other settings, and `RunDirError` when the disk refuses.
    """
    settings = settings or RepairSettings()
    modes, seeds = list(dict.fromkeys(modes)), list(dict.fromkeys(seeds))
    sets = {task.id: constraints_of(task) for task in tasks}
    path = out / FILE
    done = {record.key: record for record in read_records(path)}
    _check_same(path, list(done.values()), policy, settings)
    finished = {key for key, record in done.items() if not record.missing}
    todo = [
        (task, mode, seed)
        for task in tasks
        for seed in seeds
        for mode in modes
        if (task.id, task.digest, sets[task.id].digest, mode, seed) not in finished
    ]
    appender, room = Appender(path), asyncio.Semaphore(concurrency)
    missing = 0

    async def one(task: Task, mode: Mode, seed: int) -> None:
        nonlocal missing
        async with room:
            record = await run_compliance(
                task_layer(task), sets[task.id], policy, mode, seed=seed, settings=settings
            )
        appender.append(dump_json(record))
        missing += record.missing
        if on_record is not None:
            on_record(record)

    try:
        async with asyncio.TaskGroup() as group:
            for each in todo:
                group.create_task(one(*each))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        appender.close()
    wanted = len(tasks) * len(seeds) * len(modes)
    return ComplyResult(path, len(todo), wanted - len(todo), missing)


def read_records(path: Path, problems: Problems | None = None) -> Iterator[ComplianceRecord]:
    """The records of a file, in the order of their first lines; of several with one key the last.

    Lines that are no records are noted in `problems`. A file that is not there has none.
    """
    problems = Problems() if problems is None else problems
    found: dict[tuple[object, ...], ComplianceRecord] = {}
    for line in read_lines(path, problems):
        try:
            record = ComplianceRecord.model_validate_json(line.data)
        except ValidationError as error:
            problems.note(path, line.number, f"no compliance record: {error.errors()[0]['msg']}")
            continue
        found[record.key] = record
    yield from found.values()


def constraints_of(task: Task) -> ConstraintSet:
    """The constraints a task brings along. Raises `ConfigError` when there are none, broken ones,
    or some about several texts."""
    tables = task.metadata.get("rollout_fork", {}).get("constraints")
    if not tables:
        raise ConfigError(
            f"task {task.id}: brings no constraints; add [[metadata.rollout_fork.constraints]] to task.toml"
        )
    try:
        found = read_constraints(tables)
        check_one_text(found)
        return found
    except (ConstraintError, ConfigError) as error:
        raise ConfigError(f"task {task.id}: {error}") from None


def _check_same(
    path: Path, done: Sequence[ComplianceRecord], policy: Policy, settings: RepairSettings
) -> None:
    plain = settings.model_dump(mode="json")
    for record in done:
        if (record.policy, record.model) != (policy.name, policy.model):
            raise ConfigError(
                f"{path}: holds records of {record.policy} {record.model}, not of {policy.name} {policy.model}; "
                "choose another --out"
            )
        if record.settings != plain:
            changed = sorted(key for key in plain if record.settings.get(key) != plain[key])
            raise ConfigError(
                f"{path}: was begun with other settings ({', '.join(changed)}); choose another --out"
            )
