"""A machine that cannot run a sandbox: one line with the mend, exit code 3, and nothing was started or written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_tasks import SOLVE, write_task

ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take things away from itself")

#: what is missing -> (shell text that takes it away and then runs "$@", words of the message, words of the mend)
LACKS = {
    "user namespaces": (
        'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
        "make namespaces",
        "sysctl -w user.max_user_namespaces",
    ),
    "a file system that overlayfs can write to": (
        "mkdir $STATE $STATE.d $STATE.d/l $STATE.d/u $STATE.d/w;"
        ' mount -t overlay o -o lowerdir=$STATE.d/l,upperdir=$STATE.d/u,workdir=$STATE.d/w $STATE; exec "$@"',
        "overlayfs",
        "state_dir",
    ),
    "room": ('mkdir $STATE; mount -t tmpfs -o size=64k none $STATE; exec "$@"', "no room", "state_dir"),
    "any room": (
        'mkdir $STATE; mount -t tmpfs -o nr_inodes=1 none $STATE; exec "$@"',
        "No space left",
        "free some room",
    ),
    "a browser": (
        "for program in /usr/lib/chromium/chromium* /usr/bin/chromium* /usr/bin/google-chrome*;"
        ' do [ ! -f $program ] || mount --bind /dev/null $program; done; exec "$@"',
        "bar-chart and 7 more tasks: visual checks cannot be made here",
        "apt-get install chromium-headless-shell",
    ),
    "the right to write": (
        'mkdir $STATE; mount -t tmpfs -o ro none $STATE; exec "$@"',
        "Read-only",
        "that you can write to",
    ),
}


@AS_ROOT
@pytest.mark.parametrize("what", LACKS)
def test_a_machine_that_lacks_something_is_told_so_before_anything_starts(what: str, tmp_path: Path) -> None:
    take_away, words, mend = LACKS[what]
    tasks = "suite:visual"
    if what != "a browser":
        tasks = str(tmp_path / "tasks")
        write_task(tmp_path / "tasks")
    config = {
        "tasks": tasks,
        "policy": {"name": "scripted", "options": {"branches": [SOLVE]}},
        "engine": {"kind": "inline"},
        "backend": {"options": {"state_dir": str(tmp_path / "state")}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable,
        "-m",
        "rollouts",
        "run",
        str(tmp_path / "config.yaml"),
        "--out",
        str(tmp_path / "run"),
    ]
    enclosed = (
        ["unshare", "--user", "--map-root-user", "--mount"]
        if "namespaces" in what
        else ["unshare", "--mount"]
    )
    done = subprocess.run(
        [*enclosed, "bash", "-c", take_away, "bash", *command],
        env={**os.environ, "STATE": str(tmp_path / "state")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert words in done.stderr and mend in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


REFUSED = {
    "a limit that is not held": (
        {"name": "subprocess", "allow_unsandboxed": True, "limits": {"processes": 40}},
        "does not hold the limit processes",
    ),
    "no isolation": ({"name": "subprocess"}, "isolates nothing"),
    "more than files": ({"restores": "memory"}, "restores files+env, not memory"),
    "an unknown option": ({"options": {"stat_dir": "x"}}, "its options are"),
    "an unknown back-end": ({"name": "dokcer"}, "no back-end"),
    "a setting of the section among the options": (
        {"name": "subprocess", "options": {"allow_unsandboxed": True}},
        "set backend.allow_unsandboxed",
    ),
    "an option of another type": ({"options": {"state_dir": 5}}, "option state_dir is 5"),
    "a list that is none": ({"options": {"warm": 5}}, "option warm is 5"),
    "an unknown network": ({"network": "some"}, "network"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_config_that_asks_for_more_than_there_is_is_refused_before_anything_starts(
    what: str, tmp_path: Path
) -> None:
    backend, words = REFUSED[what]
    write_task(tmp_path / "tasks")
    config = {
        "tasks": str(tmp_path / "tasks"),
        "policy": {"name": "scripted", "options": {"branches": [SOLVE]}},
        "engine": {"kind": "inline"},
        "backend": backend,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "rollouts",
            "run",
            str(tmp_path / "config.yaml"),
            "--out",
            str(tmp_path / "run"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert words in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()
