"""The system calls Python has no name for, by ctypes, on x86_64 and aarch64.

Everything raises `OSError` with the call's name. `PyDLL` keeps the interpreter lock, which `clone` needs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1
_MOUNT_ATTR_NOSUID = 2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

#: name -> (x86_64, aarch64); calls newer than 5.x have one number everywhere
_NUMBERS = {
    "clone": (56, 220),
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "mount_setattr": (442, 442),
}

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def supported_machine() -> bool:
    """Whether the numbers below are known for this processor."""
    return platform.machine() in ("x86_64", "aarch64")


def _number(name: str) -> int:
    return _NUMBERS[name][0 if platform.machine() == "x86_64" else 1]


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _syscall(name: str, *args: object) -> int:
    packed = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(int(_libc.syscall(ctypes.c_long(_number(name)), *packed)), name)


def clone(flags: int) -> int:
    """fork() into new namespaces: the child's pid in the parent, 0 in the child. Single-threaded callers only."""
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid = int(
        _libc.syscall(
            ctypes.c_long(_number("clone")), *map(ctypes.c_long, (flags | signal.SIGCHLD, 0, 0, 0, 0))
        )
    )
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    api.PyOS_AfterFork_Parent()
    ctypes.set_errno(error)
    return _check(pid, "clone")


def unshare(flags: int) -> None:
    """Move the caller into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2); the error names source and target."""
    result = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {kind or 'bind'} {source} on {target}")


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(os.fsencode(target), flags), f"umount {target}")


def lock_read_only(target: str) -> None:
    """Make a mount and all below it read-only and nosuid (mount_setattr, Linux 5.12)."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    _syscall("mount_setattr", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, attributes, len(attributes))


def pivot_to(new_root: str) -> None:
    """Make `new_root` the root of this mount namespace and let go of everything else."""
    os.chdir(new_root)
    _syscall("pivot_root", b".", b".")
    unmount(".", MNT_DETACH)
    os.chdir("/")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def die_with_parent() -> None:
    """SIGKILL this process when its parent thread dies."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def set_dumpable(on: bool) -> None:
    """Whether others of the same user may look into this process (/proc/PID/mem, ptrace)."""
    _prctl(_PR_SET_DUMPABLE, int(on))


def bound_capabilities() -> None:
    """Make sure that no capability can ever come back once it is dropped."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break  # past the last one this kernel knows


def drop_capabilities() -> None:
    """Give up every capability (permitted, effective, inheritable), and all ways to new privileges."""
    header = struct.pack("Ii", 0x20080522, 0)
    _syscall("capset", header, struct.pack("6I", 0, 0, 0, 0, 0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def install_filter(program: bytes) -> None:
    """Install a seccomp BPF program (needs no_new_privs)."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _syscall("seccomp", 1, 0, fprog)
