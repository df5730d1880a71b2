"""The pytest call behind a declared test command, made so that nothing in the workspace can steer it."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .submission import TestPlan

_INI_FILES = ("pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")

#: Options that select among tests: then the files do not tell which tests must be in the report.
_SELECTS = ("-k", "-m", "--deselect", "--ignore", "--ignore-glob", "--lf", "--last-failed", "--sw")

#: Options whose value is a word of its own.
_TAKES_VALUE = {
    "-k",
    "-m",
    "-p",
    "-o",
    "-c",
    "-r",
    "-W",
    "-n",
    "--deselect",
    "--ignore",
    "--ignore-glob",
    "--tb",
}


@dataclass(frozen=True)
class PytestCall:
    """One call of pytest, to be executed without a shell."""

    argv: tuple[str, ...]
    paths: tuple[str, ...]  #: what is collected, relative to the mounted tests; "." is all of them
    complete: bool  #: no option selects among the tests, so every test found in the files must report

    @property
    def python(self) -> str:
        """The interpreter it runs in."""
        return self.argv[0]


def pytest_call(plan: TestPlan, report: str) -> PytestCall:
    """The declared command with everything pinned that a planted file could change.

    -P keeps the working directory off the path while pytest itself is imported (a planted pytest.py), the
    empty -c stops pytest.ini, tox.ini, setup.cfg and pyproject.toml, --confcutdir every conftest.py outside
    the tests; the working directory is added to the path only for the tests. `report` is where the JUnit XML
    goes. Raises `ValueError` when the command is no pytest call or collects outside the mounted tests.
    """
    python, arguments = _split(plan)
    paths: list[str] = []
    kept: list[str] = []
    complete = True
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument.startswith("--junit"):
            continue
        if before in _TAKES_VALUE:
            pass
        elif argument.startswith("-"):
            complete = complete and argument.split("=")[0] not in _SELECTS
        elif _looks_like_path(argument):
            complete = complete and "::" not in argument
            paths.append(_inside(plan, argument))
        kept.append(argument)
    if not paths:
        kept.append(plan.target)
        paths = ["."]
    pinned = ["-c", config_file(plan), f"--rootdir={plan.target}", f"--confcutdir={plan.target}"]
    ours = ["-p", "no:cacheprovider", "-o", f"pythonpath={plan.workdir}", "-o", "junit_logging=no"]
    argv = [python, "-P", "-m", "pytest", *pinned, *ours, "-q", *kept, f"--junitxml={report}"]
    return PytestCall(tuple(argv), tuple(paths), complete)


def environment(plan: TestPlan) -> Mapping[str, str]:
    """What the test command gets on top of the base's environment.

    An empty home, and with it no per-user packages; no variable that would keep a kernel from serving the
    command by an interpreter that is already up. A pytest call of ours loads no plug-in by entry point, because a planted `x.dist-info` in the working
    directory names entry points too; a task that needs one says `-p name`. A script that calls pytest itself
    keeps its plug-ins and gets the pinned configuration.
    """
    ours = {"HOME": "/logs/home"}
    if plan.result == "pytest":
        ours["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    else:
        pinned = ["-c", config_file(plan), f"--rootdir={plan.target}", f"--confcutdir={plan.target}"]
        ours["PYTEST_ADDOPTS"] = shlex.join([*pinned, "-p", "no:cacheprovider"])
    return ours | dict(plan.env)


def config_file(plan: TestPlan) -> str:
    """The task's own pytest configuration inside its tests, else an empty file; never the workspace's."""
    for name in _INI_FILES:
        candidate = plan.directory / name
        if candidate.is_file() and not candidate.is_symlink():
            return posixpath.join(plan.target, name)
    return "/dev/null"


def _split(plan: TestPlan) -> tuple[str, Sequence[str]]:
    words = shlex.split(plan.command)
    if not words:
        raise ValueError("the test command is empty")
    name = posixpath.basename(words[0])
    if name in ("pytest", "py.test"):
        return "python3", words[1:]
    if name.startswith("python") and "-m" in words:
        at = words.index("-m")
        if words[at + 1 : at + 2] == ["pytest"] and all(word.startswith("-") for word in words[1:at]):
            return words[0], words[at + 2 :]
    raise ValueError(
        f"the test command {plan.command!r} is not a pytest call; declare its result as exit or reward"
    )


def _looks_like_path(argument: str) -> bool:
    return "/" in argument or "::" in argument or argument.endswith(".py")


def _inside(plan: TestPlan, argument: str) -> str:
    path = posixpath.normpath(posixpath.join(plan.workdir, argument.split("::", maxsplit=1)[0]))
    target = posixpath.normpath(plan.target)
    if path != target and not path.startswith(target.rstrip("/") + "/"):
        raise ValueError(
            f"the test command collects {path}, which the work could have changed; tests are in {target}"
        )
    return posixpath.relpath(path, target)
