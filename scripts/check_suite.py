"""Check the bundled tasks on this machine, without a sandbox and without a network.

    python scripts/check_suite.py [task id ...]

For each task: the visible and the hidden tests fail on the program as it is shipped, and all of them pass
after the reference solution. Prints a table; the exit code is 1 when a task does not hold that. The programs
run directly on this machine: they are our own.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

TASKS = Path(__file__).resolve().parent.parent / "envs" / "suite" / "tasks"
TIMEOUT_S = 60.0


@dataclass
class Run:
    """One run of a test command: tests that passed, tests that did not (0 and 0: none was even collected)."""

    passed: int
    failed: int
    exit_code: int
    test_s: float  #: pytest's own figure, start-up not included
    log: str

    @property
    def green(self) -> bool:
        return self.exit_code == 0 and self.passed > 0 and self.failed == 0

    def __str__(self) -> str:
        return f"{self.passed}/{self.passed + self.failed}"


@dataclass
class Report:
    """What was seen for one task."""

    id: str
    language: str
    difficulty: str
    runs: dict[str, Run] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> int:
    """Check the tasks named on the command line, or all; 0 when every one is in order."""
    parser = argparse.ArgumentParser(
        description="Run the bundled tasks' tests before and after the solutions."
    )
    parser.add_argument("ids", nargs="*", metavar="task", help="task ids (default: all)")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="tasks checked at the same time")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the logs of failing tasks")
    args = parser.parse_args()
    known = sorted(p.parent.name for p in TASKS.glob("*/task.toml"))
    unknown = [i for i in args.ids if i not in known]
    if unknown or not known:
        print(f"no such task below {TASKS}: {', '.join(unknown) or '(there are none)'}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(args.jobs) as executor:
        reports = list(executor.map(check, args.ids or known))
    print_table(reports)
    bad = [r for r in reports if r.problems]
    for report in bad:
        for problem in report.problems:
            print(f"{report.id}: {problem}")
        if args.verbose:
            for name, run in report.runs.items():
                print(f"--- {report.id} {name}\n{run.log}")
    print(f"{len(reports) - len(bad)} of {len(reports)} tasks are in order")
    return 1 if bad else 0


def check(task_id: str) -> Report:
    """Run one task's tests before and after its solution, in a directory of its own."""
    task = TASKS / task_id
    own = tomllib.loads((task / "task.toml").read_text())["metadata"]["rollout_fork"]
    report = Report(task_id, own["language"], own["difficulty"])
    visible, hidden = own["visible_tests"], own["hidden_tests"].replace("/tests", str(task / "tests"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"suite-{task_id}-") as root:
        app = Path(root) / "app"
        shutil.copytree(task / "environment" / "app", app)
        try:
            report.runs["visible before"] = run_tests(visible, app)
            report.runs["hidden before"] = run_tests(hidden, app)
            solved = execute(f"bash {task / 'solution' / 'solve.sh'}", app)
            report.runs["visible after"] = run_tests(visible, app)
            report.runs["hidden after"] = run_tests(hidden, app)
        except subprocess.TimeoutExpired as error:
            report.problems.append(f"{error.cmd!r} took longer than {TIMEOUT_S:.0f} s")
            return report
    report.seconds = time.monotonic() - began
    for name, run in report.runs.items():
        if name.endswith("before") and (run.green or run.exit_code == 0):
            report.problems.append(f"the {name.split()[0]} tests pass without a repair")
        if name.endswith("after") and not run.green:
            report.problems.append(f"the {name.split()[0]} tests do not pass after the solution ({run})")
    if solved.returncode != 0:
        report.problems.append(f"solve.sh exited with {solved.returncode}: {solved.stdout.strip()[-200:]}")
    return report


def run_tests(command: str, app: Path) -> Run:
    """Run a test command in the program's directory and count its tests."""
    done = execute(command, app)
    last = done.stdout.strip().splitlines()[-1:] or [""]

    def count(word: str) -> int:
        found = re.search(rf"(\d+) {word}", last[0])
        return int(found.group(1)) if found else 0

    took = re.search(r"in ([\d.]+)s", last[0])
    return Run(
        passed=count("passed"),
        failed=count("failed") + count("error"),
        exit_code=done.returncode,
        test_s=float(took.group(1)) if took else 0.0,
        log=done.stdout,
    )


def execute(command: str, app: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell command in `app` with this interpreter as `python`; stderr goes to stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=app,
        env={
            "PATH": path,
            "HOME": str(app.parent),
            "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_ADDOPTS": "-p no:cacheprovider",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the tasks need plain pytest only
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )


def print_table(reports: list[Report]) -> None:
    """One line per task: tests passed of all, before and after, and the seconds of the visible tests."""
    columns = ("visible before", "hidden before", "visible after", "hidden after")
    width = max(len(r.id) for r in reports)
    head = f"{'task':<{width}}  {'language':<8} {'level':<7}" + "".join(f"{c:>16}" for c in columns)
    print(f"{head}{'test s':>8}{'all s':>7}")
    for r in reports:
        cells = "".join(f"{str(r.runs[c]) if c in r.runs else '-':>16}" for c in columns)
        test_s = r.runs["visible after"].test_s if "visible after" in r.runs else 0.0
        mark = "  PROBLEM" if r.problems else ""
        print(f"{r.id:<{width}}  {r.language:<8} {r.difficulty:<7}{cells}{test_s:8.2f}{r.seconds:7.1f}{mark}")


if __name__ == "__main__":
    sys.exit(main())
