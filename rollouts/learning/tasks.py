"""Many small repair tasks: a correct function with one mutation, which its visible tests notice.

The functions are data (`programs/*.toml`). A mutant is taken only when it can be undone by one edit of what is
there: nothing is left out of it. Programs are split, never mutants: what is held out is code that no training
task ever showed, and on which nothing was tuned.
"""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from envs import Task, load_tasks
from kernel_pool import KernelPool, Limits
from verifiers.mutants import Mutant, choose, mutants_of

PROGRAMS = Path(__file__).parent / "programs"
POOL = 45  #: programs to learn on
#: Seconds that a mutant's visible tests may take; one that never ends makes a slow task, and is passed over.
SECONDS = 3.0
#: Changes that throw away what was there: one edit cannot bring it back.
_LOST = ("is left out", "nothing is returned")
_PYTEST = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
_INSTRUCTION = (
    "`{name}.py` has a bug: tests in `tests/` fail. Mend the function; leave the tests as they are.\n"
)


@dataclass(frozen=True)
class Program:
    """A correct function with checks that hold, each a Python expression that is true."""

    name: str  #: of the function and, with `.py`, of its file
    code: str
    visible: tuple[str, ...]  #: what the agent can run
    hidden: tuple[str, ...]  #: what only the verifier runs, beside the visible ones


def read_programs() -> list[Program]:
    """All programs, by name."""
    found = []
    for path in PROGRAMS.glob("*.toml"):
        for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.append(Program(name, entry["code"], tuple(entry["visible"]), tuple(entry["hidden"])))
    return sorted(found, key=lambda program: program.name)


def split(programs: Sequence[Program]) -> tuple[list[Program], list[Program]]:
    """(programs to learn on, programs to compare on), always the same, by a hash of the name.

    Step size, reward and the shape of the trees were chosen on the first kind alone.
    """
    order = shuffled(programs, 0)
    return order[:POOL], order[POOL:]


def shuffled(programs: Sequence[Program], seed: int) -> list[Program]:
    """In an order by the seed and their names."""
    return sorted(programs, key=lambda program: sha256(f"{seed}:{program.name}".encode()).digest())


async def write_tasks(
    path: Path, programs: Sequence[Program], each: int, seed: int, pool: KernelPool
) -> list[str]:
    """Write a task list with up to `each` mutants a program and return the tasks' ids.

    The same for the same arguments. A program none of whose mutants the visible tests notice in time gives no
    task. Raises `KernelError`.
    """
    original = {task.id: task for task in _load(path.with_suffix(".originals.jsonl"), programs)}
    found = await asyncio.gather(
        *(_noticed(program, original[program.name], each, seed, pool) for program in programs)
    )
    lines = [
        task_line(program, mutant.after, f"{program.name}-{number}", mutant.what)
        for program, mutants in zip(programs, found, strict=True)
        for number, mutant in enumerate(mutants, 1)
    ]
    _write(path, lines)
    return [line["id"] for line in lines]


def task_line(program: Program, code: str, task_id: str, what: str = "") -> dict[str, Any]:
    """A program with this code as one line of a task list (see `envs.task_list`)."""
    name = program.name
    return {
        "id": task_id,
        "instruction": _INSTRUCTION.format(name=name),
        "files": {f"{name}.py": code, f"tests/test_{name}.py": _tests(name, [[c] for c in program.visible])},
        # One test, so that the reward is 1 or 0: shares of tests passed taught less on training programs.
        "tests": {f"test_{name}_hidden.py": _tests(name, [[*program.visible, *program.hidden]])},
        "timeout_s": 20.0,
        "language": "python",
        "group": name,
        "mutation": what,
    }


def _tests(name: str, checks: Sequence[Sequence[str]]) -> str:
    """A test file with one test for each list of checks."""
    tests = [
        "".join([f"\n\ndef test_{number}():\n", *(f"    assert {check}\n" for check in together)])
        for number, together in enumerate(checks, 1)
    ]
    return f"from {name} import {name}\n{''.join(tests)}"


def _load(path: Path, programs: Sequence[Program]) -> Sequence[Task]:
    _write(path, [task_line(program, program.code, program.name) for program in programs])
    return load_tasks(path).tasks


def _write(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


async def _noticed(program: Program, task: Task, each: int, seed: int, pool: KernelPool) -> list[Mutant]:
    """The first mutants, in an order by the seed, on which some visible test fails (exit code 1 of pytest)."""
    file = f"{program.name}.py"
    mutants = [m for m in mutants_of(file, program.code) if not m.what.endswith(_LOST)]
    found: list[Mutant] = []
    async with pool.lease(await pool.prepare(task.base)) as kernel:
        for mutant in choose(mutants, len(mutants), seed):
            if len(found) == each:
                break
            await kernel.write(f"{task.base.workdir}/{file}", mutant.after.encode())
            result = await kernel.run(_PYTEST, cwd=task.base.workdir, limits=Limits(wall_s=SECONDS))
            if result.ended == "exited" and result.exit_code == 1:
                found.append(mutant)
    return found
