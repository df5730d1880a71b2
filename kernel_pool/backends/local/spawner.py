"""The host's end of the zygote: start it, ask it for kernels, hear which ones are gone."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import BackendUnavailable, KernelClosed
from ...kernel import Network
from . import machine
from .cgroups import InstanceGroups

_READY_S = 60.0

# The interpreter first imports what it shall serve warm, so that it knows what a cold start would have
# imported; only then its own machinery, from a path that is taken away again. pytest imports `faulthandler`
# and `pdb` when it is configured, whatever the options. `inspect` looks up once which file each module is
# from, which the first failing test would do in every run; `gc.freeze` keeps the
# collector from touching, and so from copying, what the forked commands share.
_BOOT = """\
import sys
del sys.path[0]
import runpy
served = []
for name in filter(None, sys.argv[3].split(",")):
    try:
        __import__(name)
    except ImportError:
        continue
    served.append(name)
if "pytest" in served:
    for name in sys.modules["_pytest.config"].default_plugins:
        __import__("_pytest." + name)
    import faulthandler, inspect, pdb
    inspect.getmodule(compile("", "/", "exec"), "/")
known, path = frozenset(sys.modules), list(sys.path)
sys.path.insert(0, sys.argv[1])
import json
from kernel_pool.backends.local.inside import zygote
sys.path[:] = path
setup = json.loads(sys.argv[2])
import gc
gc.collect()
gc.freeze()
job = zygote.main(setup, served, known)
if job is not None:
    job()
"""


class Spawner:
    """One zygote. `start` first; every other method from the event loop it was started in."""

    def __init__(
        self,
        state_dir: Path,
        scratch: Path,
        *,
        warm: Sequence[str],
        network: Network,
        groups: InstanceGroups | None,
    ) -> None:
        self._state_dir = state_dir
        self._scratch = scratch
        self._warm = tuple(warm)
        self._network = network
        self._groups = groups
        self._gone: dict[str, asyncio.Event] = {}
        self._outbox: deque[tuple[bytes, list[socket.socket]]] = (
            deque()
        )  # what the socket has no room for yet
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def start(self) -> None:
        """Bring the zygote up. Raises `BackendUnavailable` with the mend when this machine refuses."""
        reply = await asyncio.get_running_loop().run_in_executor(None, self._launch)
        if "ready" not in reply:
            await self.close()
            raise BackendUnavailable(
                machine.explain(str(reply.get("failed", "it ended at once")), self._state_dir)
            )
        assert self._control is not None
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control, self._hear)

    def _launch(self) -> dict[str, Any]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        setup = {
            "control": theirs.fileno(),
            "scratch": str(self._scratch),
            "state": str(self._state_dir),
            "system": machine.system_directories(),
            "links": machine.system_links(),
            "become": machine.kernel_ids() if machine.privileged() else None,
            "network": self._network,
            "groups": self._group_paths(),
        }
        package_root = Path(__file__).parents[3]
        with theirs:
            # Pipes for both outputs, like the commands will have: the interpreter's streams are inherited warm.
            self._process = subprocess.Popen(
                [machine.PYTHON, "-c", _BOOT, str(package_root), json.dumps(setup), ",".join(self._warm)],
                env=dict(machine.BASE_ENV),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        if self._groups is not None:
            self._groups.take(self._process.pid)
        ours.settimeout(_READY_S)
        try:
            answer = ours.recv(65536)
        except TimeoutError:
            return {"failed": f"no answer in {_READY_S:.0f} s"}
        if not answer:
            assert self._process.stderr is not None
            return {"failed": self._process.stderr.read().decode(errors="replace")[-2000:]}
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def _group_paths(self) -> tuple[int, dict[str, str]] | None:
        if self._groups is None:
            return None
        return self._groups.version, {name: str(path) for name, path in self._groups.paths.items()}

    @property
    def alive(self) -> bool:
        """Whether it can still make kernels."""
        return self._control is not None

    def spawn(self, kernel: str, plan: Mapping[str, Any]) -> tuple[socket.socket, asyncio.Event]:
        """Ask for a kernel: our end of its socket, and an event that is set once its last process is gone."""
        if self._control is None:
            raise KernelClosed("the local back-end is closed")
        ours, theirs = socket.socketpair()
        gone = self._gone[kernel] = asyncio.Event()
        request = {"op": "start", "kernel": kernel, "system": machine.system_directories(), **plan}
        try:
            self._send(request, [theirs])
        except BaseException:
            ours.close()
            del self._gone[kernel]
            raise
        ours.setblocking(False)
        return ours, gone

    def kill(self, kernel: str) -> None:
        """End a kernel with SIGKILL; `gone` tells when it has happened."""
        if self._control is not None and kernel in self._gone:
            self._send({"op": "kill", "kernel": kernel}, [])

    def _send(self, message: Mapping[str, Any], passed: list[socket.socket]) -> None:
        """Send in order, now or as soon as there is room; `passed` is closed here once it is on its way."""
        self._outbox.append((json.dumps(message).encode(), passed))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        assert self._control is not None
        loop = asyncio.get_running_loop()
        while self._outbox:
            data, passed = self._outbox[0]
            try:
                socket.send_fds(self._control, [data], [sock.fileno() for sock in passed])
            except BlockingIOError:
                loop.add_writer(self._control, self._flush)
                return
            except OSError as error:
                self._everything_is_gone()
                raise KernelClosed(f"the sandbox's parent process does not answer: {error}") from error
            self._outbox.popleft()
            for sock in passed:
                sock.close()
        loop.remove_writer(self._control)

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._everything_is_gone()
            return
        self._is_gone(json.loads(data).get("gone", ""))

    def _is_gone(self, kernel: str) -> None:
        event = self._gone.pop(kernel, None)
        if event is not None:
            event.set()

    def _everything_is_gone(self) -> None:
        """The zygote died, and with it every kernel."""
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            asyncio.get_running_loop().remove_writer(self._control)
            self._control.close()
            self._control = None
        for _data, passed in self._outbox:
            for sock in passed:
                sock.close()  # the host's end of it reads an end
        self._outbox.clear()
        for kernel in list(self._gone):
            self._is_gone(kernel)

    async def close(self) -> None:
        """End the zygote and all its kernels. Idempotent."""
        if self._control is not None:
            self._everything_is_gone()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await asyncio.get_running_loop().run_in_executor(None, process.wait)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
