"""JSONL task lists: one task a line, its files inline or in a directory beside the list.

    {"id": "sum", "instruction": "...", "files": {"sum.py": "..."}, "tests": {"test_sum.py": "..."}}
    {"path": "more/sorting"}

Inline files are written once under a cache directory, by content, and found again after that.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kernel_pool import BaseSpec, CopyIn
from kernel_pool.kernel import Images
from verifiers.constraints import ConstraintError, read_constraints

from .dockerfile import DEFAULT_WORKDIR
from .errors import TaskError, TaskInvalid, TaskProblem
from .task import Task
from .task_dir import TASK_ID, read_task_dir, test_plan

LINE_BYTES = 32 * 1024 * 1024  #: size limit of one line


class _Line(BaseModel):
    """An inline task. Unknown keys become its metadata."""

    model_config = ConfigDict(extra="allow", strict=True)

    id: Annotated[str, Field(pattern=f"^{TASK_ID.pattern}$")]
    instruction: Annotated[str, Field(min_length=1)]
    files: dict[str, str] = Field(default_factory=dict)  #: path below the working directory -> text
    tests: dict[str, str] = Field(default_factory=dict)  #: path below /tests -> text
    visible_tests: Annotated[str, Field(min_length=1)] | None = None
    hidden_tests: Annotated[str, Field(min_length=1)] | None = None
    workdir: Annotated[str, Field(pattern="^/")] = DEFAULT_WORKDIR
    env: dict[str, str] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, lt=1e9)] | None = None  #: seconds the hidden tests may take
    agent_timeout_s: Annotated[float, Field(gt=0, lt=1e9)] | None = None
    language: str = ""
    difficulty: str = ""
    group: str = ""

    @field_validator("visible_tests", "hidden_tests", "workdir", "env")
    @classmethod
    def _runnable(cls, value: str | dict[str, str] | None) -> str | dict[str, str] | None:
        parts = [*value, *value.values()] if isinstance(value, dict) else [value or ""]
        if any("\0" in part for part in parts) or (
            isinstance(value, dict) and any("=" in name for name in value)
        ):
            raise ValueError("a NUL character (or = in a variable's name) cannot be handed to a process")
        return value

    @field_validator("workdir")
    @classmethod
    def _straight(cls, workdir: str) -> str:
        if ".." in PurePosixPath(workdir).parts:
            raise ValueError(f"{workdir!r} holds `..`")
        return workdir

    @field_validator("files", "tests")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
                raise ValueError(f"{name!r} is no relative path that stays inside")
        return files


def read_task_list(
    path: Path, *, cache: Path | None = None, images: Images = "none"
) -> Iterator[tuple[int, Task | TaskInvalid]]:
    """(line number, task or what is wrong with it) for each line that is not empty.

    `cache` is where inline files are written; None: a private directory below the temporary one.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES + 1):
            number += 1
            if len(line) > LINE_BYTES:
                yield (
                    number,
                    _invalid(path, number, f"is longer than {LINE_BYTES} bytes; the rest is not read"),
                )
                return
            if line.strip():
                try:
                    yield number, _read_line(path, number, line, cache, images)
                except TaskInvalid as error:
                    yield number, error


def _read_line(path: Path, number: int, line: bytes, cache: Path | None, images: Images) -> Task:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _invalid(path, number, f"is no JSON ({error})") from None
    if not isinstance(data, dict):
        raise _invalid(path, number, "is no JSON object")
    if "path" in data:
        return _read_path(path, number, data, images)
    try:
        item = _Line.model_validate(data)
    except ValidationError as error:
        messages = [
            f"{'.'.join(map(str, e['loc'])) or 'task'}: {e['msg']}"
            for e in error.errors(include_url=False)[:10]
        ]
        raise TaskInvalid([TaskProblem(path, number, message) for message in messages]) from None
    return _inline(path, number, item, cache or private_cache())


def _read_path(path: Path, number: int, data: dict[str, Any], images: Images) -> Task:
    if set(data) != {"path"} or not isinstance(data["path"], str):
        raise _invalid(path, number, 'a line with "path" holds that one string and nothing else')
    root = path.parent.resolve()
    target = (root / data["path"]).resolve()
    if not target.is_relative_to(root):
        raise _invalid(path, number, f"{data['path']} leads outside of the list's own directory")
    if not target.is_dir():
        raise _invalid(path, number, f"{data['path']} is no directory")
    return read_task_dir(target, images=images)


def _inline(path: Path, number: int, item: _Line, cache: Path) -> Task:
    extra = dict(item.model_extra or {})
    if not isinstance(extra.get("rollout_fork", {}), dict):
        raise _invalid(path, number, "rollout_fork: must be an object, like that table of task.toml")
    _check_constraints(path, number, extra.get("rollout_fork", {}))
    hidden = item.hidden_tests
    if item.tests and hidden is None and "test.sh" not in item.tests:
        if not any(name.rpartition("/")[2].startswith("test_") for name in item.tests):
            raise _invalid(path, number, "tests hold neither test.sh nor test_*.py: say `hidden_tests`")
        hidden = "python -m pytest -p no:cacheprovider /tests"
    content = item.model_dump(mode="json")
    digest = sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    try:
        home = _materialise(cache / digest, {"environment": item.files, "tests": item.tests})
    except (OSError, UnicodeEncodeError) as error:
        raise _invalid(path, number, f"its files cannot be written below {cache} ({error})") from None
    steps = (CopyIn(home / "environment", item.workdir),) if item.files else ()
    plan = test_plan(home / "tests", hidden or "", item.workdir, item.timeout_s, {}) if item.tests else None
    return Task(
        id=item.id,
        instruction=item.instruction,
        base=BaseSpec("", item.workdir, item.env, steps),
        tests=plan,
        digest=digest,
        visible_tests=item.visible_tests,
        agent_timeout_s=item.agent_timeout_s,
        language=item.language,
        difficulty=item.difficulty,
        group=item.group,
        path=home,
        metadata=extra,
    )


def _check_constraints(path: Path, number: int, own: dict[str, Any]) -> None:
    if own.get("constraints") is not None:
        try:
            read_constraints(own["constraints"])
        except ConstraintError as error:
            problems = [TaskProblem(path, number, f"rollout_fork.{each}") for each in error.problems]
            raise TaskInvalid(problems) from None


def _materialise(home: Path, trees: dict[str, dict[str, str]]) -> Path:
    """Write the trees below `home`, whole or not at all; another process may be writing the same."""
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=home.parent))
    try:
        for tree, files in trees.items():
            (made / tree).mkdir()
            for name, text in files.items():
                target = made / tree / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(text.encode())
                if text.startswith("#!"):
                    target.chmod(0o755)
        try:
            made.rename(home)
        except OSError:
            if not home.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return home


def private_cache() -> Path:
    """A directory below the temporary one that nobody else can write into. Raises `TaskError`."""
    path = Path(tempfile.gettempdir()) / f"rollout-fork-tasks-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise TaskError(f"{path}: cannot be made ({error.strerror}); name a cache directory") from None
    if path.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise TaskError(
            f"{path}: belongs to somebody else or is open to them; remove it or name a cache directory"
        )
    return path


def _invalid(path: Path, number: int, message: str) -> TaskInvalid:
    return TaskInvalid([TaskProblem(path, number, message)])
