"""What a command inside a kernel cannot reach. Each attack is tried on the host first, where it works."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from local_support import PYTHON, STATE, kernel, local, shell

from kernel_pool import BackendUnavailable, BaseSpec, KernelClosed, UnsupportedFeature

ROOT = Path(__file__).parents[2]


async def test_a_kernel_has_its_own_loopback() -> None:
    own = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        " socket.create_connection(s.getsockname()); print('own')"
    )
    async with kernel() as (_backend, _base, live):
        assert (await live.run([PYTHON, "-c", own])).stdout == b"own\n"


async def test_the_network_of_the_host_is_there_when_it_is_asked_for_and_said_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]})); print('reached')"
        async with local(network="host") as backend:
            assert backend.capabilities.network == "host"
            assert any("network" in note for note in backend.capabilities.notes)
            live = await backend.start(await backend.prepare(BaseSpec()))
            assert (await live.run([PYTHON, "-c", connect])).stdout == b"reached\n"
            assert (await live.read("/etc/resolv.conf")) == Path("/etc/resolv.conf").read_bytes()
        async with kernel() as (_backend, _base, live):
            assert not (await live.run([PYTHON, "-c", connect])).ok
            assert (await live.read("/etc/resolv.conf")) == b""


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
            assert await shell(live, "set -- /proc/[0-9]*; echo $#") == "2\n"  # PID 1 and this shell
            assert not (await live.run(f"kill -0 {os.getpid()}")).ok
            assert (await live.run(["ls", "/proc/self/fd"])).stdout.split() == [b"0", b"1", b"2", b"3"]
    finally:
        del os.environ["KERNEL_POOL_CANARY"]


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
    runs = [asyncio.create_task(k.run(f"setsid sleep {sys.argv[2]} & sleep {sys.argv[2]}")) for k in kernels]
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
    seconds = {"host": "987654", "zygote": "987655"}[victim]
    with subprocess.Popen(
        [PYTHON, "-c", HOST, str(state), seconds], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
    ) as host:
        assert host.stdout is not None
        assert int(host.stdout.readline()) == host.pid
        assert processes(f"sleep\0{seconds}") == 8
        target = host.pid
        if victim == "zygote":
            target = child_of(host.pid)
        os.kill(target, signal.SIGKILL)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if not processes(f"sleep\0{seconds}"):
                break
        assert processes(f"sleep\0{seconds}") == 0
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
