"""Ways in which kernels were once broken; each has to stay mended."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest
from local_support import PYTHON, kernel, local, shell

from kernel_pool import BaseSpec, CopyIn, FileAccessError, KernelError, Limits
from kernel_pool.backends.local.inside.meter import _open_closed
from kernel_pool.backends.local.tree import _open_even_if_closed

FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def test_a_mode_is_never_changed_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("target")
    parent = os.open(tmp_path, FLAGS)
    for work in (
        lambda: _open_closed("link", parent, FLAGS),
        lambda: _open_even_if_closed("link", parent, FLAGS),
    ):
        with pytest.raises(OSError):
            os.close(work())
        assert (tmp_path / "target").stat().st_mode & 0o777 == 0o755
    os.close(parent)


#: A closed directory and a link to somewhere else change places without end, while the disk is measured.
SWAP = """
import ctypes, os, threading, time
os.mkdir("d"); os.chmod("d", 0); os.symlink("../../../%s/upper/app", "s")
def write():
    while True:
        with open("x", "wb") as f: f.write(b"x" * (2 << 20)); f.flush(); os.fsync(f.fileno())
        os.unlink("x"); time.sleep(0.03)
threading.Thread(target=write, daemon=True).start()
libc, end = ctypes.CDLL(None), time.time() + 6
while time.time() < end:
    libc.syscall(316, -100, b"d", -100, b"s", 2)
"""


async def test_what_is_measured_while_it_changes_leads_nowhere_else() -> None:
    async with kernel() as (backend, base, live):
        neighbour = await backend.start(base)
        await shell(neighbour, "chmod 755 .; touch x")
        await live.run([PYTHON, "-I", "-S", "-c", SWAP % neighbour.id], limits=Limits(wall_s=20.0))
        assert await shell(neighbour, "stat -c %a .") == "755\n"
        assert (backend.store.root / "layers").stat().st_mode & 0o777 == 0o755


@pytest.mark.slow
async def test_a_cancelled_snapshot_is_finished_before_anything_changes() -> None:
    async with kernel() as (backend, _base, live):
        write = "for i in $(seq 800); do printf '%s' {letter}{{1..3000}} > f$i; done"
        await shell(live, write.format(letter="A"))
        for delay_s in (0.02, 0.06, 0.12):
            taking = asyncio.create_task(live.snapshot())
            await asyncio.sleep(delay_s)
            taking.cancel()
            await shell(live, write.format(letter="B"))
            await shell(live, write.format(letter="A"))
            fork = await backend.start(await live.snapshot())
            assert (await shell(fork, "cat f* | grep -c B; true")).strip() == "0"
            await fork.close()
            await live.write("again", str(delay_s).encode())


async def test_closing_waits_for_a_snapshot_that_is_being_taken() -> None:
    async with kernel() as (_backend, _base, live):
        await shell(live, "for i in $(seq 500); do echo $i > f$i; done")
        taking = asyncio.create_task(live.snapshot())
        await asyncio.sleep(0.01)
        await live.close()
        assert (await taking).layers


async def test_what_the_host_asks_does_not_fail_for_the_limits_of_a_command() -> None:
    async with kernel() as (_backend, _base, live):
        small = Limits(memory_mb=32)
        assert (await live.run("head -c 15M /dev/zero > big", limits=small)).ok
        assert len(await live.read("big")) == 15 << 20
        await live.write("other", b"x" * (40 << 20))
        counted = await live.run(["wc", "-c"], stdin=b"x" * (40 << 20), limits=small)
        assert counted.stdout.strip() == b"%d" % (40 << 20)


async def test_a_command_leaves_no_memory_to_the_next() -> None:
    async with kernel() as (_backend, _base, live):
        leave = (
            "import ctypes; l = ctypes.CDLL(None); l.shmat.restype = ctypes.c_void_p; n = l.shmget(0, 60 << 20, 0o1600);"
            " ctypes.memset(l.shmat(n, None, 0), 1, 60 << 20)"
        )
        assert (await live.run([PYTHON, "-I", "-S", "-c", leave], limits=Limits(memory_mb=200))).ok
        await live.run("head -c 60M /dev/zero > /dev/shm/x; mkdir /dev/shm/d; touch /dev/shm/d/y")
        assert await shell(live, "ls -A /dev/shm; ipcs -m 2>/dev/null | grep -c 62914560; true") in (
            "0\n",
            "",
        )
        assert (await live.run("echo ok", limits=Limits(memory_mb=50))).ok


async def test_requests_that_cannot_be_sent_or_answered_are_errors_and_the_kernel_goes_on() -> None:
    async with kernel() as (_backend, _base, live):
        with pytest.raises(KernelError, match="too long"):
            await live.run("#" + "x" * (17 << 20))
        for env in ({"A": None}, {"A": b"x"}):
            with pytest.raises(TypeError):
                await live.run("true", env=env)  # type: ignore[arg-type]
        plant = (
            "import os\np = '/tmp/p'\nfor _ in range(4): p += '/' + 250 * 'y'; os.makedirs(p, exist_ok=True)\n"
            "for i in range(9000): open(os.open(p, 0) and f'{p}/{i}', 'w').close()"
        )
        await live.run([PYTHON, "-I", "-S", "-c", plant], limits=Limits(open_files=20_000))
        try:
            assert len(await live.list("/tmp/p", depth=9, max_entries=100_000)) >= 9000
        except FileAccessError as error:
            assert error.reason == FileAccessError.TOO_LARGE
        assert await shell(live, "echo on") == "on\n"


async def test_three_hundred_kernels_start_at_once() -> None:
    async with kernel() as (backend, base, _live):
        kernels = await asyncio.gather(*(backend.start(base) for _ in range(300)))
        assert len({one.id for one in kernels}) == 300


@pytest.mark.parametrize(
    "field", ["wall_s", "cpu_s", "memory_mb", "processes", "disk_mb", "file_mb", "open_files"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_that_are_none_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Limits(), **{field: value})


async def test_a_warm_command_holds_no_descriptor_of_pid_1() -> None:
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec()))
        look = "import os\ndef test_it():\n    fds = os.listdir('/proc/self/fd')\n"
        look += "    print([os.path.realpath(f'/proc/self/fd/{n}') for n in fds])\n"
        await live.write("test_fds.py", look.encode())
        said = await live.run(
            ["python", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"], limits=Limits(open_files=16)
        )
        assert said.warm
        assert b"1 passed" in said.stdout
        assert b"cgroup" not in said.stdout and b"socket" not in said.stdout, said


async def test_names_that_look_like_deletions_survive_an_export(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "z").write_text("base")
    async with local() as backend:
        base = await backend.prepare(BaseSpec(steps=(CopyIn(tmp_path / "src", "/app"),)))
        live = await backend.start(base)
        await shell(live, "echo 1 > .wh.z; mkdir q; echo 2 > q/.wh..wh..opq; echo 3 > q/r")
        await shell(
            live,
            "python3 -c \"import os; os.setxattr('q/r', 'user.a=b', b'1'); os.setxattr('q', 'user.c', b'2')\"",
        )
        state = await live.snapshot()
        await backend.export(state, tmp_path / "layer.tar")
        loaded = await backend.load(base, tmp_path / "layer.tar", env=state.env)
        assert loaded.digest == state.digest


async def test_a_fifo_of_the_base_that_is_as_it_was_makes_no_other_state() -> None:
    async with local() as backend:
        from kernel_pool import RunStep

        base = await backend.prepare(BaseSpec(steps=(RunStep("mkfifo pipe; chmod 644 pipe"),)))
        live = await backend.start(base)
        await shell(live, "chmod 600 pipe; chmod 644 pipe")
        assert (await live.snapshot()).digest == base.digest


async def test_cancelling_twice_keeps_the_kernel() -> None:
    async with kernel() as (_backend, _base, live):
        running = asyncio.create_task(live.run("trap '' TERM; sleep 50"))
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await shell(live, "echo on") == "on\n"


@pytest.mark.parametrize(
    "command",
    [
        "kill -INT 1",
        *(f"kill -{number} 1" for number in (1, 10, 15, 17, 34, 64)),
        "prlimit -p 1 --as=1000:1000",
        "prlimit -p 1 --nofile=3:3",
        "prlimit -p 1 --nproc=0:0",
        "prlimit -p 1 --fsize=0:0",
        "chrt -i -p 0 1",
        "renice 19 -p 1; renice 19 -g 1; renice 19 -u root",
        "ionice -c 3 -p 1",
        "taskset -pc 0 1",
    ],
)
async def test_a_command_cannot_end_or_cripple_its_kernel(command: str) -> None:
    async with kernel() as (_backend, _base, live):
        before = await shell(live, "ulimit -a; nice; taskset -p $$ | cut -d: -f2; chrt -p $$ | cut -d: -f2")
        await live.run(command)
        after = await shell(live, "ulimit -a; nice; taskset -p $$ | cut -d: -f2; chrt -p $$ | cut -d: -f2")
        assert after == before
        await live.write("f", b"x" * 100_000)
        assert (await live.run(["wc", "-c", "f"])).stdout.split()[0] == b"100000"


@pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "watched"])
@pytest.mark.parametrize("path", ["/", "/dev/shm", "."])
async def test_a_directory_that_was_closed_hinders_no_later_command(path: str, cgroups: bool) -> None:
    async with kernel(cgroups=cgroups) as (_backend, _base, live):
        result = await live.run(f"chmod 000 {path}; sleep 0.3", limits=Limits(cpu_s=5.0))
        assert result.ended == "exited"
        assert await shell(live, "echo on") == "on\n"
        assert (await live.run(["echo", "on"], cwd="/")).stdout == b"on\n"
        if path == ".":
            await shell(live, "chmod 755 /app")
        await live.write("f", b"x")


async def test_files_in_closed_and_deep_directories_of_shared_memory_go_with_their_command() -> None:
    async with kernel() as (_backend, _base, live):
        deep = (
            "import os; [(os.mkdir('d'), os.chdir('d')) for _ in range(3000)]; open('file', 'w').write('x')"
        )
        fill = f'cd /dev/shm; mkdir 0 1; {PYTHON} -I -S -c "{deep}"; head -c 9M /dev/zero > 1/x'
        await shell(live, f"{fill}; chmod 0 1 0 .")
        assert await shell(live, "ls -A /dev/shm; df --output=used /dev/shm | tail -1 | tr -d ' '") == "0\n"


async def test_no_message_queue_is_made() -> None:
    queue = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.mq_open(b'/q', 66, 384, None))"
    async with kernel() as (_backend, _base, live):
        assert await shell(live, f'{PYTHON} -I -S -c "{queue}"') == "-1\n"


async def test_what_a_socket_replaced_stays_deleted() -> None:
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('%s')"
    async with kernel() as (backend, _base, live):
        await shell(live, "mkdir sub; echo 1 > hello; echo 2 > sub/inner")
        before = await backend.start(await live.snapshot())
        for name in ("hello", "sub"):
            await shell(before, f'rm -r {name}; {PYTHON} -I -S -c "{bind % name}"')
        after = await backend.start(await before.snapshot())
        assert await shell(after, "ls -A") == ""


async def test_a_function_keeps_lines_that_look_like_variables() -> None:
    async with kernel() as (backend, _base, live):
        await shell(live, "h() { cat <<EOF\ndeclare -i RANDOM=5\ndeclare -x MINE=1\nEOF\n}")
        assert (await live.run("h", env={"MINE": "2"})).stdout == b"declare -i RANDOM=5\ndeclare -x MINE=1\n"
        fork = await backend.start(await live.snapshot())
        assert await shell(fork, "h; echo ${MINE-unset}") == "declare -i RANDOM=5\ndeclare -x MINE=1\nunset\n"


async def test_the_limits_of_files_and_disk_hold_for_writes_of_the_host() -> None:
    async with kernel(limits=Limits(disk_mb=20, file_mb=4)) as (_backend, _base, live):
        with pytest.raises(FileAccessError, match="file_mb"):
            await live.write("large", b"x" * (5 << 20))
        with pytest.raises(FileAccessError, match="disk_mb"):
            for number in range(10):
                await live.write(f"f{number}", os.urandom(3 << 20))
        assert await shell(live, "ls | wc -l") == "6\n"
        await shell(live, "rm f0")
        await live.write("again", os.urandom(3 << 20))


async def test_what_decides_which_code_runs_does_not_come_with_a_fork() -> None:
    async with kernel() as (backend, base, live):
        before = await shell(
            live, "ls -ld /bin /lib64 | cut -c1; cat /etc/ld.so.cache | sha256sum; ls -A /etc"
        )
        await live.run(
            "echo /app/evil.so > /etc/ld.so.preload; echo > /etc/ld.so.cache; mkdir -p /etc/python3.11;"
            " echo 'print(1)' > /etc/python3.11/sitecustomize.py; mv /lib64 /lib64.old; mkdir /lib64; rm /bin; mkdir /bin"
        )
        fork = await backend.start(await live.snapshot())
        assert (
            await shell(fork, "ls -ld /bin /lib64 | cut -c1; cat /etc/ld.so.cache | sha256sum; ls -A /etc")
            == before
        )
        other = await backend.start(base)
        await other.run("mv /etc /e; ln -s /app /etc")
        assert (
            await shell(await backend.start(await other.snapshot()), "ls -A /etc")
            == before[before.rindex("-\n") + 2 :]
        )
