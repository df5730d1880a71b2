"""The agent inside a sandbox where it is root, as E2B starts it, and commands are the user's.

The loopback server's sandboxes have one user. So the agent is run here by the real root, in a mount and process
namespace of its own with a user in it.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import subprocess
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from kernel_pool import Limits
from kernel_pool.backends.e2b_cloud.bases import _tar, packed_mount
from kernel_pool.backends.e2b_cloud.inside.main import ROOM
from kernel_pool.backends.e2b_cloud.link import agent
from kernel_pool.kernel import ReadOnlyMount
from verifiers.build import _SET_UP

JAIL = """
set -e
mount -t tmpfs -o mode=755 none "$1"; cd "$1"
mkdir usr etc proc dev tmp home root app
for l in bin sbin lib lib64; do ln -s usr/$l $l; done
mount --rbind /usr usr; mount -o remount,bind,ro usr; mount --rbind /dev dev
mount -t proc proc proc; chmod 1777 tmp; chmod 700 root
printf 'root:x:0:0::/root:/bin/bash\\nuser:x:5555:5555::/home/user:/bin/bash\\n' > etc/passwd
printf 'root:x:0:\\nuser:x:5555:\\n' > etc/group
mkdir home/user; chown 5555:5555 home/user app
mkdir -m 755 ".$3"; cp -r "$2"/. ".$3/"
exec chroot . /usr/bin/python3 -I "$3/driver.py"
"""
DRIVER = """
import json, subprocess, sys
for request in json.load(open("/.rollout-fork/requests.json")):
    if isinstance(request, str):
        done = subprocess.run(["bash", "-c", request], capture_output=True)
    else:
        done = subprocess.run(request, capture_output=True)
    print(json.dumps([done.returncode, done.stdout.decode(), done.stderr.decode()]))
"""


@functools.cache
def jail_problem() -> str:
    """Why there can be no such place here; "" when there can."""
    if os.geteuid() != 0:
        return "only root can make the agent root"
    done = subprocess.run(
        ["unshare", "-mpf", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return done.stderr.decode().strip()


pytestmark = pytest.mark.skipif(bool(jail_problem()), reason=jail_problem() or "possible")


@dataclass
class Answer:
    """What the agent sent."""

    result: dict[str, Any]
    out: bytes = b""
    err: bytes = b""
    content: bytes = b""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """What will be the agent's room."""
    place = tmp_path / "room"
    place.mkdir()
    with zipfile.ZipFile(io.BytesIO(agent()[1])) as packed:
        packed.extractall(place / Path(agent()[0]).name)
    (place / "driver.py").write_text(DRIVER)
    return place


def ask(room: Path, *requests: dict[str, Any] | str) -> list[Answer]:
    """Put the requests to the agent, one after the other in one place; text is run by root."""
    calls: list[Any] = [
        request
        if isinstance(request, str)
        else ["python3", "-I", "-S", agent()[0], base64.b64encode(json.dumps(request).encode()).decode()]
        for request in requests
    ]
    (room / "requests.json").write_text(json.dumps(calls))
    target = room.parent / "jail"
    target.mkdir(exist_ok=True)
    command = ["unshare", "-m", "-p", "-f", "bash", "-c", JAIL, "jail", str(target), str(room), ROOM]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return [_answer(*json.loads(line)) for line in done.stdout.splitlines()]


def run(command: str, *, as_root: bool = False, **limits: Any) -> dict[str, Any]:
    return {
        "op": "run",
        "argv": ["bash", "-c", command],
        "cwd": "/app",
        "env": {},
        "files": {},
        "keep": [],
        "limits": asdict(Limits(**{"wall_s": 10.0, **limits})),
        **({"user": "root", "as_root": True} if as_root else {}),
    }


def _answer(code: int, out: str, err: str) -> Answer:
    answer = Answer({"code": code, "stderr": err, "stdout": out})
    for line in out.splitlines():
        try:
            content = base64.b64decode(line[1:], validate=True)
        except ValueError:
            continue
        match line[0]:
            case "o":
                answer.out += content
            case "e":
                answer.err += content
            case "b":
                answer.content += content
            case "r":
                answer.result = json.loads(zlib.decompress(content))
    return answer


def test_commands_run_as_the_user_and_cannot_become_another(room: Path) -> None:
    [seen] = ask(room, run("id -u; echo $HOME $USER; grep NoNewPrivs /proc/self/status"))
    assert seen.out == b"5555\n/home/user user\nNoNewPrivs:\t1\n"


def test_preparation_is_roots_and_what_it_made_becomes_the_users(room: Path) -> None:
    [step, _, seen] = ask(
        room,
        run("id -u; echo x > made; ln -s /etc link; echo y > /etc/made", as_root=True),
        {"op": "own", "paths": ["/app"]},
        "stat -c %U /app/made /app/link /etc/made /etc",
    )
    assert step.out == b"0\n"
    assert seen.result["stdout"] == "user\nuser\nroot\nroot\n"


def test_commands_cannot_end_the_agent_nor_look_into_its_room(room: Path) -> None:
    [seen] = ask(room, run(f"kill -9 $PPID; ls {ROOM}; cat {ROOM}/mounts.json; rm -rf {ROOM}; echo on"))
    assert seen.result["ended"] == "exited" and seen.out == b"on\n"
    assert seen.err.count(b"ermi") >= 2


def test_nothing_of_a_command_outlives_it(room: Path) -> None:
    started = (
        "for i in 1 2 3; do setsid bash -c 'trap \"\" TERM; sleep 30 & wait' & done; (sleep 31 &) ; sleep 0.2"
    )
    [done, left] = ask(room, run(started), "cat /proc/[0-9]*/comm | grep -c sleep")
    assert done.result["ended"] == "exited"
    assert left.result["stdout"] == "0\n"


@pytest.mark.parametrize(
    ("command", "limits", "ended"),
    [
        (":(){ :|:& };:; sleep 5", {"processes": 40}, "pids"),
        ("head -c 900M /dev/zero | tail -c 900M | sleep 5", {"memory_mb": 64}, "oom"),
        ("while :; do :; done", {"cpu_s": 0.3}, "cpu"),
        ("for i in 1 2 3; do (while :; do :; done)& done; wait", {"cpu_s": 0.5}, "cpu"),
        ("yes", {"output_bytes": 10_000}, "output"),
        ("sleep 20", {"wall_s": 0.3}, "timeout"),
    ],
)
def test_each_limit_ends_the_command_under_its_name(
    room: Path, command: str, limits: dict[str, Any], ended: str
) -> None:
    [done, after, left] = ask(
        room, run(command, **limits), run("echo on"), "ls /proc | grep -c '^[0-9]'; cat /proc/[0-9]*/comm"
    )
    assert done.result["ended"] == ended
    assert after.out == b"on\n"
    assert int(left.result["stdout"].split()[0]) < 10, left.result["stdout"]


def test_files_are_the_users(room: Path) -> None:
    (room / "blob").write_bytes(b"content")
    [written, owner, denied, secret] = ask(
        room,
        {"op": "write", "path": "/app/new/file", "mode": 0o644, "blob": "blob"},
        "stat -c '%U %a' /app/new /app/new/file; cat /app/new/file; echo root-only > /root/secret",
        {"op": "write", "path": "/etc/passwd", "mode": 0o644},
        {"op": "read", "path": "/root/secret", "max_bytes": 100},
    )
    assert written.result == {}
    assert owner.result["stdout"] == "user 755\nuser 644\ncontent"
    assert denied.result == secret.result == {"refused": "denied"}


def test_a_mount_cannot_be_changed_and_is_put_back_when_it_is_moved_away(room: Path, tmp_path: Path) -> None:
    source = tmp_path / "tests"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "check.py").write_text("original")
    for number, target in enumerate(("/app/tests", "/mnt/new/tests")):
        (room / f"m{number}").write_bytes(packed_mount(ReadOnlyMount(source, target)))
    change = (
        "mkdir -p tests; echo mine > tests/before; exit 0",
        "echo x > tests/deep/check.py; chmod 777 tests; rm -rf tests/deep; mv tests moved && ls && mkdir tests; exit 0",
    )
    mounts = [
        {"target": "/app/tests", "archive": "m0"},
        {"target": "/mnt/new/tests", "archive": "m1"},
    ]
    look = "cat /app/tests/deep/check.py /mnt/new/tests/deep/check.py; stat -c '%U %a' /app/tests /app/tests/deep/check.py"
    [_, laid, seen, moved, again, refused, back, files, relaid, last] = ask(
        room,
        run(change[0]),
        {"op": "lay", "mounts": mounts},
        look,
        run(change[1]),
        look,
        {"op": "write", "path": "/app/tests/added", "mode": 0o644},
        {"op": "unlay"},
        "cat /app/tests/before; ls /app/tests /mnt 2>&1; ls /app",
        {"op": "lay", "mounts": []},
        look,
    )
    whole = "originaloriginalroot 555\nroot 444\n"
    assert laid.result == back.result == relaid.result == {}
    assert seen.result["stdout"] == again.result["stdout"] == last.result["stdout"] == whole
    assert b"Permission denied" in moved.err and b"moved" in moved.out
    assert refused.result == {"refused": "denied"}
    assert files.result["stdout"].startswith("mine\nbefore") or "before" in files.result["stdout"]
    assert "new" not in files.result["stdout"], "a directory made for a mount is left"


def test_the_verifier_gets_its_empty_logs_where_the_root_directory_is_not_the_users(room: Path) -> None:
    set_up = f"set -- /app; {_SET_UP}"
    (room / "empty.tar").write_bytes(_tar([]))
    [made, before, ready, seen, again] = ask(
        room,
        {"op": "copy_in", "archive": "empty.tar", "directories": ["/app", "/logs"]},
        run("mkdir -p /logs/verifier/deep; echo 1 > /logs/verifier/reward.txt; chmod 0 /logs/verifier /logs"),
        run(set_up),
        "find /logs | sort | tr '\\n' ' '; touch /logs/of-root; chmod 700 /logs; chown root /logs",
        run(set_up),
    )
    assert made.result == {} and before.result["exit_code"] == ready.result["exit_code"] == 0
    assert seen.result["stdout"] == "/logs /logs/agent /logs/artifacts /logs/home /logs/verifier "
    assert again.result["exit_code"] == 8, "what cannot be emptied is told"


def test_only_places_that_the_user_can_change_are_read_for_a_snapshot(room: Path) -> None:
    [places, _, scanned, hashed] = ask(
        room,
        {"op": "places"},
        "cd /app; echo x > f; ln -s f l; mkfifo p; mkdir d; chmod 700 d; chown 5555 *; echo y > /etc/else",
        {"op": "scan", "places": ["/app"], "since": 0},
        {"op": "hash", "paths": ["app/f", "app/l", "app/p"]},
    )
    assert places.result["places"] == ["/app", "/home/user", "/tmp"]
    told = {entry[0]: entry[1:3] for entry in scanned.result["entries"]}
    assert told == {
        "app": ["dir", 0o755],
        "app/f": ["file", 0o644],
        "app/l": ["link", 0o777],
        "app/p": ["fifo", 0o644],
        "app/d": ["dir", 0o700],
    }
    digest = "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"
    assert hashed.result["hashes"] == [digest, None, None]
