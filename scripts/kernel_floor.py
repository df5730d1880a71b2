"""The floor that kernels are measured against: a bare loop in a small interpreter.

The same clone, mounts, pivot and exec by the same system calls, with no protocol, no limits and no seccomp.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from kernel_pool import Snapshot
from kernel_pool.backends.local import LocalBackend, machine
from kernel_pool.backends.local.store import remove_tree

_FLOOR = """
import json, os, sys, time
del sys.path[0]
sys.path.insert(0, sys.argv[1])
from kernel_pool.backends.local.inside import namespaces, syscalls
setup = json.loads(sys.argv[2])
uid, gid = os.geteuid(), os.getegid()
if uid == 0:
    syscalls.unshare(syscalls.CLONE_NEWNS)
else:
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    namespaces.write_id_maps(uid, gid)
    uid = gid = 0
namespaces.build_zygote_root(setup["scratch"], setup["state"], tuple(setup["system"]), setup["links"])
if setup["become"]:
    uid, gid = setup["become"]
    os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
    syscalls.set_dumpable(True)
bind, quiet = syscalls.MS_BIND | syscalls.MS_REC, syscalls.MS_NOSUID | syscalls.MS_NODEV
number = 0
for _line in sys.stdin:
    number += 1
    room = f"/state/{setup['rooms']}/{number}"
    started = time.perf_counter()
    child = syscalls.clone(namespaces.flags("none"))
    if child == 0:
        namespaces.write_id_maps(uid, gid)
        os.makedirs(room + "/upper"); os.mkdir(room + "/work")
        where = f"lowerdir={setup['lowers']},upperdir={room}/upper,workdir={room}/work,userxattr"
        syscalls.mount("overlay", "/new", "overlay", quiet, where)
        for path in (*setup["system"], "/dev"):
            syscalls.mount(path, "/new" + path, None, bind)
        syscalls.mount("shm", "/new/dev/shm", "tmpfs", quiet, "size=64m")
        syscalls.mount("pts", "/new/dev/pts", "devpts", 0, "newinstance")
        syscalls.mount("proc", "/new/proc", "proc", quiet)
        syscalls.pivot_to("/new")
        os.execv("/usr/bin/true", ["true"])
    assert os.waitpid(child, 0)[1] == 0
    print(time.perf_counter() - started, flush=True)
"""


class Floor:
    """A process that does the bare minimum on demand and says how long it took."""

    def __init__(self, scratch: Path, backend: LocalBackend, base: Snapshot) -> None:
        """`scratch` is an empty directory."""
        root = backend.store.root
        self._rooms = root / f"floor-{scratch.name}"
        self._rooms.mkdir()
        if os.geteuid() == 0:
            os.chown(self._rooms, *machine.kernel_ids())
        about = json.loads((root / "layers" / base.base / "about.json").read_text())
        setup = {
            "rooms": self._rooms.name,
            "scratch": str(scratch),
            "state": str(root),
            "system": machine.system_directories(),
            "links": machine.system_links(),
            "become": machine.kernel_ids() if os.geteuid() == 0 else None,
            "lowers": ":".join(f"/state/layers/{layer}/tree" for layer in (base.base, about["skeleton"])),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _FLOOR, str(Path(__file__).parents[1]), json.dumps(setup)],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def once(self) -> float:
        """Seconds of one round."""
        return await asyncio.get_running_loop().run_in_executor(None, self._round)

    def _round(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        remove_tree(self._rooms)
