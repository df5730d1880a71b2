"""Reading tasks: a directory, a directory of them, a JSONL list, or a bundled suite."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kernel_pool.kernel import Images

from .errors import TaskError, TaskInvalid, TaskProblem
from .task import Task, TaskSet
from .task_dir import is_task_dir, read_task_dir
from .task_list import read_task_list

#: The tasks that come with this package, and the names of those that a first look takes (`suite:starter`).
SUITE = Path(__file__).parent / "suite" / "tasks"
STARTER = Path(__file__).parent / "suite" / "starter.txt"
#: Tasks whose result is looked at in a browser (`suite:visual`).
VISUAL = Path(__file__).parent / "suite" / "visual_tasks"
#: Texts to write under constraints (`suite:constraints`).
CONSTRAINTS = Path(__file__).parent / "suite" / "constraint_tasks"

#: Names that stand for tasks of this package.
BUNDLED = ("suite", "suite:starter", "suite:visual", "suite:constraints")


def load_tasks(
    path: Path | str, ids: Sequence[str] | None = None, *, cache: Path | None = None, images: Images = "none"
) -> TaskSet:
    """Read tasks; broken ones are reported in `problems` and left out.

    `path` is "suite" (bundled), "suite:starter" (24 of them), "suite:visual" (bundled pages and pictures),
    "suite:constraints" (texts to write), a task directory, a directory of task directories, or a JSONL file. `ids` keeps only these, in their order in
    `path`. `cache` is where a list's inline files are written.
    `images` says what the back-end makes of images (see `kernel_pool.Capabilities`). Raises `TaskError` when the
    path is missing, holds no tasks at all, or an id is unknown.
    """
    if path == "suite:starter":
        path, ids = "suite", ids or STARTER.read_text(encoding="utf-8").split()
    root = {"suite": SUITE, "suite:visual": VISUAL, "suite:constraints": CONSTRAINTS}.get(str(path)) or Path(
        path
    )
    tasks: dict[str, Task] = {}
    problems: list[TaskProblem] = []
    for place, line, result in _read(root, cache, images):
        if isinstance(result, TaskInvalid):
            problems += result.problems
        elif result.id in tasks:
            problems.append(
                TaskProblem(place, line, f"the id {result.id} is taken: {tasks[result.id].path} has it")
            )
        else:
            tasks[result.id] = result
    if not tasks and not problems:
        raise TaskError(f"{root}: holds no tasks (a task directory has instruction.md and task.toml)")
    chosen = tasks.values() if not ids else [tasks[key] for key in _known(root, tasks, ids)]
    return TaskSet(tuple(chosen), tuple(problems))


def choose_tasks(
    task: Task | Path | str | None,
    suite: TaskSet | Path | str | None = None,
    task_ids: Sequence[str] | None = None,
    *,
    images: Images = "none",
) -> TaskSet:
    """The tasks of an env, given as one task (itself, its directory, or a bundled task's id) or as a suite.

    `suite` is what `load_tasks` takes, or its result; `task_ids` keeps only these. Raises `TaskError` when not
    exactly one of both is given, when a task cannot be read, and where no task is left.
    """
    if (task is None) == (suite is None):
        raise TaskError("give either `task` or `suite`")
    if isinstance(task, Task):
        return TaskSet((task,))
    if isinstance(suite, TaskSet):
        known = {each.id: each for each in suite}
        found = [known[key] for key in _known(Path("suite"), known, task_ids)] if task_ids else list(suite)
    elif isinstance(suite, str) and suite in BUNDLED:
        found = list(_bundled(suite, tuple(task_ids or ()), images))
    elif suite is not None:
        found = list(_usable(load_tasks(suite, task_ids, images=images)))
    else:
        assert task is not None
        found = [_one(task, images)]
    if not found:
        raise TaskError("there is no task in the suite")
    return TaskSet(tuple(found))


def _one(task: Path | str, images: Images) -> Task:
    directory = Path(task)
    if isinstance(task, str) and "/" not in task and not is_task_dir(directory):
        below = {path.name: path for root in (SUITE, VISUAL, CONSTRAINTS) for path in _directories(root)}
        directory = below[_known(Path("suite"), below, [task])[0]]
    elif not is_task_dir(directory):
        raise TaskError(f"{task}: is no task directory (it has instruction.md and task.toml)")
    return next(iter(_usable(load_tasks(directory, images=images))))


@functools.cache
def _bundled(name: str, ids: tuple[str, ...], images: Images) -> TaskSet:
    """Tasks that come with this package, which do not change: read once a process, however many envs there are."""
    return load_tasks(name, ids, images=images)


def _usable(found: TaskSet) -> TaskSet:
    """The tasks, if any could be read."""
    if not found.tasks:
        raise TaskInvalid(found.problems)
    return found


def _read(
    root: Path, cache: Path | None, images: Images
) -> Iterator[tuple[Path, int | None, Task | TaskInvalid]]:
    try:
        if root.is_dir():
            for directory in [root] if is_task_dir(root) else _directories(root):
                yield directory, None, _read_dir(directory, images)
        elif root.is_file():
            for line, result in read_task_list(root, cache=cache, images=images):
                yield root, line, result
        elif root.exists():
            raise TaskError(f"{root}: is neither a directory of tasks nor a JSONL list")
        else:
            raise TaskError(f"{root}: there is no such path; give a task directory, a JSONL list, or `suite`")
    except OSError as error:
        raise TaskError(f"{root}: cannot be read ({error.strerror or error})") from None


def _directories(root: Path) -> list[Path]:
    """The sub-directories that are tasks, or are meant to be."""
    below = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))
    return below if any(is_task_dir(path) for path in below) else []


def _read_dir(directory: Path, images: Images) -> Task | TaskInvalid:
    try:
        return read_task_dir(directory, images=images)
    except TaskInvalid as error:
        return error
    except OSError as error:
        return TaskInvalid([TaskProblem(directory, None, f"cannot be read ({error.strerror or error})")])


def _known(root: Path, tasks: Mapping[str, object], ids: Sequence[str]) -> list[str]:
    for wanted in ids:
        if wanted not in tasks:
            near = difflib.get_close_matches(wanted, tasks, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TaskError(f"{root}: has no usable task {wanted!r}{hint}")
    return [key for key in tasks if key in set(ids)]
