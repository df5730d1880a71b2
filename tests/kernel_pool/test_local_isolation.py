"""What a command inside a kernel cannot reach. Each attack is tried on the host first, where it works."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest
from local_support import PYTHON, STATE, kernel, local, shell

from kernel_pool import BackendUnavailable, BaseSpec, KernelClosed, UnsupportedFeature

ROOT = Path(__file__).parents[2]


async def test_there_is_no_network_but_the_kernels_own_loopback() -> None:
    attack = (
        "import socket, sys\ns = socket.socket()\ns.settimeout(2)\n"
        "try:\n    s.connect((sys.argv[1], int(sys.argv[2])))\n    print('reached')\nexcept OSError as e:\n    print('no')\n"
    )
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(("127.0.0.1", 0))
        server.listen()
        abstract.bind(f"\0kernel-pool-test-{os.getpid()}")
        abstract.listen()
        port = str(server.getsockname()[1])
        on_host = subprocess.run([PYTHON, "-c", attack, "127.0.0.1", port], capture_output=True, check=True)
        assert on_host.stdout == b"reached\n"
        async with kernel() as (_backend, _base, live):
            assert (await live.run([PYTHON, "-c", attack, "127.0.0.1", port])).stdout == b"no\n"
            assert (await live.run([PYTHON, "-c", attack, "192.0.2.1", "80"])).stdout == b"no\n"
            unix = (
                f"import socket; socket.socket(socket.AF_UNIX).connect('\\0kernel-pool-test-{os.getpid()}')"
            )
            assert b"refused" in (await live.run([PYTHON, "-c", unix])).stderr
            assert (await live.run([PYTHON, "-c", "import socket; socket.socket(40, 1)"])).exit_code == 1
            own = (
                "import socket; s = socket.create_server(('127.0.0.1', 0));"
                " socket.create_connection(s.getsockname()); print('own')"
            )
            assert (await live.run([PYTHON, "-c", own])).stdout == b"own\n"


async def test_the_hosts_files_processes_and_environment_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("secret")
    os.environ["KERNEL_POOL_CANARY"] = "secret"
    try:
        async with kernel() as (_backend, _base, live):
            for path in (
                tmp_path,
                ROOT / "kernel_pool",
                STATE,
                Path("/root/.ssh"),
                Path("/etc/shadow"),
                Path("/state"),
                Path("/sys"),
            ):
                assert not (await live.run(["test", "-e", str(path)])).ok, path
            assert "CANARY" not in await shell(live, "env; cat /proc/*/environ 2>/dev/null; true")
            assert (await shell(live, "ls /proc | grep -c '^[0-9]'")).strip() == "4"  # PID 1, bash, ls, grep
            assert not (await live.run(f"kill -0 {os.getpid()}")).ok
            assert (await live.run(["ls", "/proc/self/fd"])).stdout.split() == [b"0", b"1", b"2", b"3"]
    finally:
        del os.environ["KERNEL_POOL_CANARY"]


#: (what, Python that succeeds only if the attack does)
ATTACKS = {
    "write a tool of the host": "open('/usr/bin/ls', 'ab')",
    "write the interpreter's packages": f"open({os.__file__!r}, 'ab')",
    "write a device directory": "open('/dev/new', 'w')",
    "write a kernel setting": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "raise the process bound": "open('/proc/sys/kernel/pid_max', 'r+')",
    "look into PID 1": "open('/proc/1/mem', 'rb')",
    "list PID 1's descriptors": "os.listdir('/proc/1/fd')",
    "enter PID 1's root": "os.listdir('/proc/1/root/')",
    "trace PID 1": "assert libc.ptrace(16, 1, 0, 0) == 0",
    "mount": "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "unmount": "assert libc.umount2(b'/usr', 2) == 0",
    "new user namespace": "assert libc.unshare(0x10000000) == 0",
    "clone into a user namespace": "assert libc.syscall(NR['clone'], 0x10000000 | 17, 0, 0, 0, 0) >= 0",
    "make a device": "os.mknod('/tmp/dev', 0o20666, os.makedev(1, 1))",
    "become somebody else": "os.setuid(1)",
    "chroot": "os.chroot('/tmp')",
    "add a key": "assert libc.syscall(NR['add_key'], b'user', b'k', b'v', 1, -4) > 0",
    "io_uring": "assert libc.syscall(425, 4, ctypes.create_string_buffer(120)) >= 0",
    "bpf": "assert libc.syscall(NR['bpf'], 0, ctypes.create_string_buffer(120), 120) >= 0",
    "set the host name": "socket.sethostname('x')",
    "raise a limit": "resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 19, 1 << 19))",
    "see the host's mounts": "assert '/var/tmp' in open('/proc/self/mountinfo').read().replace('/state', '')",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_an_attack_from_inside_fails(attack: str) -> None:
    prelude = (
        "import ctypes, os, platform, resource, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "NR = dict(clone=56, add_key=248, bpf=321) if platform.machine() == 'x86_64' else dict(clone=220, add_key=217, bpf=280)\n"
    )
    async with kernel() as (_backend, _base, live):
        result = await live.run([PYTHON, "-c", f"{prelude}{attack}\nprint('broke out')"])
        assert (result.exit_code, result.stdout) == (1, b""), result
        assert await shell(live, "echo fine") == "fine\n"


async def test_killing_everything_in_sight_does_not_end_the_kernel() -> None:
    async with kernel() as (_backend, _base, live):
        await live.run("kill -9 1; kill -9 -1")
        assert await shell(live, "echo fine") == "fine\n"


async def test_a_program_cannot_speak_for_the_kernel_or_grow_from_its_saved_shell() -> None:
    async with kernel() as (backend, _base, live):
        forged = r"""printf 'R\0\0\0\2{}'; for fd in /proc/self/fd/*; do printf 'R\0\0\0\2{}' >"$fd"; done 2>/dev/null; true"""
        assert (await live.run(forged)).ended == "exited"
        assert await shell(live, "echo fine") == "fine\n"
        await live.run(
            "python3 -c \"import os; os.write(195, b'x' * 3000000)\"; V=$(head -c 400000 /dev/zero | tr '\\0' a)"
        )
        assert len(live.shell_state) < 300_000
        assert await shell(await backend.start(await live.snapshot()), "echo fine") == "fine\n"


HOST = """
import asyncio, os, sys
from pathlib import Path
from kernel_pool import BaseSpec
from kernel_pool.backends.local import LocalBackend

async def main():
    backend = LocalBackend(Path(sys.argv[1]), warm=())
    base = await backend.prepare(BaseSpec())
    kernels = [await backend.start(base) for _ in range(4)]
    runs = [asyncio.create_task(k.run("setsid sleep 987654 & sleep 987654")) for k in kernels]
    await asyncio.sleep(0.5)
    print(os.getpid(), flush=True)
    await asyncio.gather(*runs)

asyncio.run(main())
"""


def child_of(parent: int) -> int:
    status = (
        path for path in Path("/proc").glob("[0-9]*/status") if f"PPid:\t{parent}\n" in path.read_text()
    )
    return int(next(status).parent.name)


def processes(marker: str) -> int:
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += marker.encode() in path.read_bytes()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("victim", ["host", "zygote"])
async def test_when_the_host_or_the_zygote_is_killed_no_process_stays(victim: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with subprocess.Popen(
        [PYTHON, "-c", HOST, str(state)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as host:
        assert host.stdout is not None
        assert int(host.stdout.readline()) == host.pid
        assert processes("sleep\0987654") == 8
        target = host.pid
        if victim == "zygote":
            target = child_of(host.pid)
        os.kill(target, signal.SIGKILL)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not processes("sleep\0987654"):
                break
        assert processes("sleep\0987654") == 0
        host.kill()
    assert processes(str(state)) == 0
    async with local(state) as backend:
        await backend.start(await backend.prepare(BaseSpec()))
        assert len(list((state / "instances").iterdir())) == 1  # what the dead one left is swept


async def test_after_the_zygote_was_killed_the_back_end_starts_another() -> None:
    async with kernel() as (backend, base, live):
        os.kill(child_of(os.getpid()), signal.SIGKILL)
        with pytest.raises(KernelClosed):
            await live.run("sleep 5")
        assert await shell(await backend.start(base), "echo again") == "again\n"


async def test_closing_leaves_no_process_directory_or_descriptor() -> None:
    async with local() as backend:
        base = await backend.prepare(BaseSpec())
        first = await backend.start(base)
        await first.close()
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(10):
            live = await backend.start(base)
            await live.run("touch x; mkdir -m 0 closed; sleep 100 &")
            await live.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        instance = next(p for p in (STATE / "instances").iterdir() if p.name.startswith(f"{os.getpid()}-"))
        assert list((instance / "k").iterdir()) == []
    assert not instance.exists()


async def test_what_the_machine_lacks_or_cannot_do_is_said_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendUnavailable, match="state directory"):
        async with local(tmp_path / "file") as backend:
            await backend.prepare(BaseSpec())
    async with local() as backend:
        with pytest.raises(UnsupportedFeature, match="docker or e2b"):
            await backend.prepare(BaseSpec(image="ghcr.io/acme/special:1"))
        assert backend.capabilities.isolated


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_gets_the_same_kernels(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import asyncio, json, os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from kernel_pool import BaseSpec, CopyIn, Limits, ReadOnlyMount, RunStep
        from kernel_pool.backends.local import LocalBackend

        async def main():
            backend = LocalBackend(Path(sys.argv[2]) / "state")
            (Path(sys.argv[2]) / "src").mkdir()
            (Path(sys.argv[2]) / "src" / "f").write_text("from host")
            spec = BaseSpec(steps=(CopyIn(Path(sys.argv[2]) / "src", "/app"), RunStep("echo ran > ran; rm /etc/hosts")))
            base = await backend.prepare(spec)
            kernel = await backend.start(base)
            said = await kernel.run("id -u; cat f ran; ls /etc/hosts; rm f; mkdir d; chmod 0 d; touch /usr/x; echo own > own; export A=b")
            snapshot = await kernel.snapshot()
            forks = [await backend.start(snapshot, mounts=[ReadOnlyMount(Path(sys.argv[2]) / "src", "/m")]) for _ in range(3)]
            outs = [await fork.run("ls; cat /m/f; touch /m/x; echo $A; cat /proc/1/environ; unshare -U true") for fork in forks]
            count = "import os, time\\nn = 0\\ntry:\\n while os.fork() or time.sleep(9): n += 1\\nexcept OSError: print(n)"
            bomb = await kernel.run(["python3", "-c", count], limits=Limits(processes=40))
            await backend.export(snapshot, Path(sys.argv[2]) / "l.tar")
            loaded = await backend.load(base, Path(sys.argv[2]) / "l.tar", env=snapshot.env)
            await backend.close()
            left = [str(p) for p in Path(sys.argv[2]).glob("state/instances/*")]
            print(json.dumps([os.geteuid(), said.stdout.decode(), [o.stdout.decode() for o in outs], bomb.stdout.decode(), loaded == snapshot, left]))

        asyncio.run(main())
        """
    )

    shutil.copytree(
        ROOT / "kernel_pool", tmp_path / "code" / "kernel_pool", ignore=shutil.ignore_patterns("__pycache__")
    )
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 1234)
    place = tmp_path
    while place != Path("/tmp"):  # pytest's directories are closed to others
        place.chmod(0o755)
        place = place.parent
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", script, str(tmp_path / "code"), str(home)],
        user=1234,
        group=1234,
        extra_groups=(),
        env={},
        cwd="/",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    uid, said, forks, bomb, same, left = json.loads(done.stdout)
    assert (uid, said) == (1234, "0\nfrom hostran\n")
    assert forks == ["d\nown\nran\nfrom hostb\n"] * 3
    assert bomb == "39\n"
    assert same
    assert left == []
