"""One task directory in Harbor's layout, read into a `Task`.

    my-task/
      instruction.md   task.toml   environment/   tests/   solution/ (optional)

Everything in it is untrusted: links are not followed, nothing is executed here, sizes are bounded.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from kernel_pool import BaseSpec, CopyIn, RunStep
from kernel_pool.kernel import Images
from verifiers import TestPlan
from verifiers.constraints import ConstraintError, read_constraints
from verifiers.visual_spec import BadVisualSpec, read_spec

from .dockerfile import DEFAULT_WORKDIR, PLAIN_IMAGE, TOOLS, Environment, read_dockerfile
from .errors import TaskInvalid, TaskProblem
from .harbor_keys import check_harbor_keys
from .task import Task
from .task_toml import TomlFile, TomlTable, plain

TEXT_BYTES = 1024 * 1024  #: size limit of instruction.md, task.toml and the Dockerfile
CONTENT_BYTES = 4 * 1024**3  #: size limit of environment/ and tests/ together
TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

#: Keys of [environment] that only say how large or connected a sandbox should be.
_SIZES = ("cpus", "memory", "memory_mb", "storage", "storage_mb", "gpus", "gpu_types", "os", "tpu")
_NETWORK = ("network_mode", "allow_internet", "allowed_hosts")
_UNSUPPORTED = {
    "healthcheck": "waits for a service",
    "mcp_servers": "brings servers along",
    "skills_dir": "brings skills along",
}


def is_task_dir(path: Path) -> bool:
    """Whether a directory is meant as a task."""
    return (path / "instruction.md").exists() or (path / "task.toml").exists()


def read_task_dir(path: Path, *, images: Images = "none") -> Task:
    """Read a task directory. Raises `TaskInvalid` with everything that is wrong with it.

    `images` is what the back-end makes of base images; "none": only those that this machine's tools stand in for.
    """
    problems: list[TaskProblem] = []
    instruction = _text(path / "instruction.md", problems)
    toml_text = _text(path / "task.toml", problems)
    toml = TomlFile.parse(path / "task.toml", toml_text or "")
    toml.problems[:0] = problems
    if toml_text is not None and instruction is not None:
        for part in ("environment", "tests", "solution"):
            _directory(path / part, toml.problems)
        if toml.data.get("steps") or (path / "steps").is_dir():
            toml.problems.append(
                TaskProblem(
                    path / "task.toml", toml.line_of(("steps",)), "steps: multi-step tasks are not read"
                )
            )
        if not toml.problems:
            task = _task(path, instruction, toml, images)
            if not toml.problems:
                return task
    raise TaskInvalid(toml.problems)


def _task(path: Path, instruction: str, toml: TomlFile, images: Images) -> Task:
    about, agent, own = toml.table("task"), toml.table("agent"), _own(toml)
    base, notes = _base(path, toml, images)
    notes += check_harbor_keys(toml)
    metadata = toml.table("metadata")
    metadata.used.add("rollout_fork")
    difficulty = metadata.data.get("difficulty")
    name = about.string("name", path.resolve().name)
    task_id = name.rpartition("/")[2]
    if not TASK_ID.fullmatch(task_id):
        about.wrong("name", f"gives {task_id!r}, which is no usable id (letters, digits, . _ -)")
    timeout = agent.seconds("timeout_sec")
    tests = _tests(path, toml, own, base.workdir, notes)
    return Task(
        id=task_id,
        instruction=instruction,
        base=base,
        tests=tests,
        digest=_digest(path, toml.problems),
        visible_tests=own.string("visible_tests") or None,
        agent_timeout_s=timeout,
        language=own.string("language"),
        difficulty=own.string("difficulty") or (difficulty if isinstance(difficulty, str) else ""),
        group=own.string("group"),
        solution=path / "solution" if (path / "solution").is_dir() else None,
        path=path,
        metadata=_kept(toml, metadata, own),
        environment_notes=tuple(notes),
    )


def _own(toml: TomlFile) -> TomlTable:
    """The table this project adds; strict, since a typing error there would silently change the task."""
    own = toml.table("metadata", "rollout_fork")
    for key in ("visible_tests", "hidden_tests", "language", "difficulty", "group"):
        own.string(key)
    for key in ("visible_tests", "hidden_tests"):
        if key in own.data and isinstance(own.data[key], str) and not own.data[key].strip():
            own.wrong(key, "is empty; leave it out instead")
    _visual(own)
    _constraints(own)
    own.no_others()
    return own


def _constraints(own: TomlTable) -> None:
    """Broken constraints are told here, with their lines, and not after a run."""
    tables = own.value("constraints", list, "a list of tables, [[metadata.rollout_fork.constraints]]")
    if tables is None:
        return
    try:
        read_constraints(plain(tables))
    except ConstraintError as error:
        keys = (*own.keys, "constraints")
        own.file.problems += [
            TaskProblem(own.file.path, own.file.line_of(keys, problem.index), str(problem))
            for problem in error.problems
        ]


def _visual(own: TomlTable) -> None:
    """The visual checks have to be understood, and the pictures they name have to be in tests/."""
    table = own.value("visual", dict, "a table")
    if table is None:
        return
    try:
        spec = read_spec(plain(table))
    except BadVisualSpec as error:
        line = own.file.line_of((*own.keys, "visual", *error.keys))
        own.file.problems.append(TaskProblem(own.file.path, line, f"metadata.rollout_fork.visual: {error}"))
        return
    for name in sorted(set(spec.references())):
        if not (own.file.path.parent / "tests" / name).is_file():
            own.wrong("visual", f"compares with tests/{name}, which is not there")


def _kept(toml: TomlFile, metadata: TomlTable, own: TomlTable) -> dict[str, Any]:
    """[metadata] as it is, our verifier settings under `rollout_fork`, all other tables under `toml`."""
    kept: dict[str, Any] = dict(plain(metadata.rest()))
    settings = {key: plain(own.data[key]) for key in ("visual", "constraints") if key in own.data}
    if settings:
        kept["rollout_fork"] = settings
    others = {key: plain(value) for key, value in toml.data.items() if key != "metadata"}
    if others:
        kept["toml"] = others
    return kept


def _base(path: Path, toml: TomlFile, images: Images) -> tuple[BaseSpec, list[str]]:
    """The environment as this project builds it, and sentences on what is different."""
    table = toml.table("environment")
    context = path / "environment"
    dockerfile = context / "Dockerfile"
    workdir = table.string("workdir")
    if workdir and (not workdir.startswith("/") or ".." in workdir.split("/")):
        table.wrong("workdir", f"must be absolute and without `..`, not {workdir!r}")
    for compose in ("docker-compose.yaml", "docker-compose.yml"):
        if (context / compose).exists():
            toml.problems.append(TaskProblem(context / compose, None, "compose files are not understood"))
    if dockerfile.is_file():
        text = _text(dockerfile, toml.problems)
        made = read_dockerfile(dockerfile, text or "", images=images)
        toml.problems += made.problems
    else:
        made = Environment(workdir=workdir or DEFAULT_WORKDIR)
        if context.is_dir():
            made.steps.append(CopyIn(context, made.workdir))
    _image(table, made, dockerfile.is_file(), images)
    for key, why in _UNSUPPORTED.items():
        if table.data.get(key):
            table.wrong(key, f"is not understood: it {why}")
    sizes = [key for key in _SIZES if key in table.data]
    if sizes:
        made.notes.append(f"environment {', '.join(sizes)}: the run's own limits hold")
    if any(key in table.data for key in _NETWORK):
        made.notes.append("environment network settings: the back-end decides")
    env = made.env | _settings(table, "env", made.notes)
    if "PATH" in env and images == "none" and TOOLS not in env["PATH"].split(":"):
        env["PATH"] += f":{TOOLS}"
        made.notes.append("environment PATH: this machine's own python and pytest stand at its end")
    steps: list[CopyIn | RunStep] = made.steps
    if (build := table.seconds("build_timeout_sec")) is not None:
        steps = [replace(s, limits=s.limits.with_wall(build)) if isinstance(s, RunStep) else s for s in steps]
    file = dockerfile if dockerfile.is_file() else None
    return BaseSpec(made.image, workdir or made.workdir, env, tuple(steps), file), made.notes


def _image(table: TomlTable, made: Environment, has_dockerfile: bool, images: Images) -> None:
    image = table.string("docker_image")
    if not image:
        return
    if has_dockerfile:
        made.notes.append(f"environment docker_image {image}: not used, the Dockerfile is")
    elif images != "none" or PLAIN_IMAGE.match(image):
        made.image = image
        made.notes.append(
            f"image {image}: a back-end without images uses this machine's own tools in its place"
        )
    else:
        table.wrong(
            "docker_image", f"names {image}, and there is no Dockerfile; this back-end runs no images"
        )


def _tests(path: Path, toml: TomlFile, own: TomlTable, workdir: str, notes: list[str]) -> TestPlan | None:
    """How the task is verified; None when it has no tests."""
    table = toml.table("verifier")
    timeout, env = table.seconds("timeout_sec"), _settings(table, "env", notes)
    directory = path / "tests"
    if not directory.is_dir():
        return None
    hidden = own.string("hidden_tests")
    if not hidden and not (directory / "test.sh").is_file():
        if "visual" in own.data:  # its references are all there is
            return TestPlan(directory, command="", timeout_s=timeout or 600.0, env=env, workdir=workdir)
        toml.problems.append(
            TaskProblem(
                directory, None, "has no test.sh, and task.toml sets no metadata.rollout_fork.hidden_tests"
            )
        )
    return test_plan(directory, hidden, workdir, timeout, env)


def test_plan(
    directory: Path, hidden: str, workdir: str, timeout_s: float | None, env: dict[str, str]
) -> TestPlan:
    """The plan for a test directory: its own command where one is given, else Harbor's test.sh."""
    command, result = "bash /tests/test.sh", "reward"
    if hidden:
        command, result = hidden, "pytest" if _is_pytest(hidden) else "exit"
    return TestPlan(
        directory=directory,
        command=command,
        result=result,
        timeout_s=timeout_s or 600.0,
        env=env,
        workdir=workdir,
    )


def _is_pytest(command: str) -> bool:
    try:
        words = shlex.split(command)
    except ValueError:
        return False
    return words[:1] in (["pytest"], ["py.test"]) or (
        words[1:3] == ["-m", "pytest"] and re.fullmatch(r"python[\d.]*", words[0]) is not None
    )


def _settings(table: TomlTable, key: str, notes: list[str]) -> dict[str, str]:
    """Environment variables, without those that Harbor would fill from the host: nothing of ours goes in."""
    values = table.strings(key)
    for name in [name for name, value in values.items() if "${" in value]:
        del values[name]
        notes.append(f"{'.'.join(table.keys)}.{key}.{name} refers to the host's environment and is left out")
    return values


def _text(path: Path, problems: list[TaskProblem]) -> str | None:
    """A small regular text file; None (and a problem) when it is anything else."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            problems.append(TaskProblem(path, None, "is not a regular file (links are not followed)"))
        elif status.st_size > TEXT_BYTES:
            problems.append(TaskProblem(path, None, f"is larger than {TEXT_BYTES} bytes"))
        else:
            return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problems.append(TaskProblem(path, None, "is missing"))
    except UnicodeDecodeError as error:
        problems.append(TaskProblem(path, None, f"is no UTF-8 text (byte {error.start})"))
    except OSError as error:
        problems.append(TaskProblem(path, None, f"cannot be read ({error.strerror})"))
    return None


def _directory(path: Path, problems: list[TaskProblem]) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        problems.append(TaskProblem(path, None, "must be a directory (links are not followed)"))


def _digest(path: Path, problems: list[TaskProblem]) -> str:
    """sha256 over instruction, task.toml, environment/ and tests/: names, kinds, execute bits, content."""
    total = sha256()
    budget = CONTENT_BYTES
    for name in ("instruction.md", "task.toml", "environment", "tests"):
        for entry in _walk(path / name):
            try:
                status = entry.lstat()
                kind, content = _content(entry, status, budget)
            except OSError as error:
                problems.append(TaskProblem(entry, None, f"cannot be read ({error.strerror or error})"))
                continue
            if kind == "other":
                problems.append(TaskProblem(entry, None, "is neither file, directory nor link"))
            budget -= status.st_size
            mode = status.st_mode & 0o111 if kind == "file" else 0
            total.update(
                f"{entry.relative_to(path)}\0{kind}\0{mode:o}\0{content}\0".encode(errors="surrogateescape")
            )
    return total.hexdigest()


def _walk(path: Path) -> list[Path]:
    """A file or directory and everything below it, sorted, no link followed."""
    found = [path] if path.is_symlink() or path.exists() else []
    for parent, directories, files in os.walk(path):
        found += [Path(parent, name) for name in (*directories, *files)]
    return sorted(found)


def _content(path: Path, status: os.stat_result, budget: int) -> tuple[str, str]:
    if stat.S_ISLNK(status.st_mode):
        return "link", str(path.readlink())
    if stat.S_ISDIR(status.st_mode):
        return "dir", ""
    if not stat.S_ISREG(status.st_mode):
        return "other", ""
    if status.st_size > budget:
        raise OSError(f"environment/ and tests/ hold more than {CONTENT_BYTES} bytes")
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return "file", digest.hexdigest()
