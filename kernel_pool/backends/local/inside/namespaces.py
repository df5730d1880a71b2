"""The two walls: the zygote's small private root, and each kernel's own namespaces inside it.

The zygote's root holds read-only binds of the machine's tools, a handful of device nodes, /proc, and the
back-end's state directory at /state. A kernel's root is one overlay (everything writable is in its upper
directory, so that a snapshot of that directory is the whole state) with the same binds laid over it.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH102, PTH103, PTH211

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from . import seccomp, syscalls
from .groups import Group
from .meter import Meter

STATE = "/state"
_NEW_ROOT = "/new"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SHM_MB = 64
_PTYS = 32  # of one kernel; the machine has a bound for all
_INOTIFY = 16  # instances of one kernel; the user has a bound for all
_PID_MAX = 4096  # a backstop for the whole kernel; each command has its own RLIMIT_NPROC


@dataclass(frozen=True)
class KernelPlan:
    """All the child needs in order to become a kernel; paths are relative to the state directory."""

    lowers: tuple[str, ...]  #: layer trees, highest first
    upper: str  #: the writable directory; made when absent
    work: str  #: overlayfs scratch directory on the same file system
    binds: tuple[tuple[str, str], ...]  #: (path in the state directory, target) of read-only mounts
    system: tuple[str, ...]  #: directories of this machine that show at the same path
    group: Group | None  #: where cgroups may be used


def build_zygote_root(scratch: str, state_dir: str, system: tuple[str, ...], links: dict[str, str]) -> None:
    """Enter a mount namespace whose root is a tmpfs with nothing but what kernels may see, plus /state.

    Needs CAP_SYS_ADMIN in the present user namespace. `scratch` is an empty directory to mount on.
    """
    syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", scratch, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "size=1m,mode=755")
    for path in system:
        _bind(path, scratch + path, read_only=True)
    for path, target in links.items():
        os.symlink(target, scratch + path)
    _make_devices(scratch + "/dev")
    _bind("/proc", scratch + "/proc")
    _bind(state_dir, scratch + STATE)
    os.mkdir(scratch + _NEW_ROOT)
    syscalls.pivot_to(scratch)
    syscalls.mount(
        "none", "/", None, syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID
    )


def _bind(source: str, target: str, *, read_only: bool = False) -> None:
    os.makedirs(target, exist_ok=True)
    syscalls.mount(source, target, None, syscalls.MS_BIND | syscalls.MS_REC)
    if read_only:
        syscalls.lock_read_only(target)


def _make_devices(dev: str) -> None:
    os.mkdir(dev)
    syscalls.mount("tmpfs", dev, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "size=64k,mode=755")
    for name in _DEVICES:
        os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_WRONLY))
        syscalls.mount(f"/dev/{name}", f"{dev}/{name}", None, syscalls.MS_BIND)
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")):
        os.symlink(target, f"{dev}/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{dev}/{name}")
    os.mkdir(f"{dev}/shm")
    os.mkdir(f"{dev}/pts")
    flags = (
        syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NOEXEC
    )
    syscalls.mount("none", dev, None, flags)


def write_id_maps(outer_uid: int, outer_gid: int) -> None:
    """Be uid 0 and gid 0 in the user namespace just entered, and `outer_*` in the one around it."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {outer_uid} 1"),
        ("gid_map", f"0 {outer_gid} 1"),
    ):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)


_FILTER = seccomp.program()


def flags(network: str) -> int:
    """CLONE_NEW* for a kernel; network "host" leaves it in the machine's network."""
    own = 0 if network == "host" else syscalls.CLONE_NEWNET
    return (
        syscalls.CLONE_NEWUSER
        | syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWPID
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | own
    )


def begin_kernel(uid: int, gid: int, network: str) -> None:
    """In a fresh child of the zygote: all that does not depend on what the kernel will hold."""
    syscalls.die_with_parent()
    write_id_maps(uid, gid)
    os.umask(0o022)
    if network == "none":
        _loopback_up()
    socket.sethostname("kernel")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)
    syscalls.bound_capabilities()


def enter_kernel(plan: KernelPlan) -> Meter:
    """Then: mount the kernel's root, move into it, and lock the door behind. What measures it comes back."""
    score = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)  # on the /proc that is left behind
    upper = _mount_root(plan)
    syscalls.pivot_to(_NEW_ROOT)
    meter = Meter(upper, score, plan.group)
    _settle_proc()
    syscalls.drop_capabilities()
    syscalls.install_filter(_FILTER)
    syscalls.set_dumpable(False)
    syscalls.die_with_parent()
    return meter


def _mount_root(plan: KernelPlan) -> int:
    """Mount it on /new; a descriptor of the writable directory."""
    for path in (plan.upper, plan.work):
        os.makedirs(f"{STATE}/{path}", mode=0o755, exist_ok=True)
    # userxattr: a user namespace may not write trusted.* marks, and without it deletions end in EIO.
    options = ",".join(
        (
            "lowerdir=" + ":".join(f"{STATE}/{lower}" for lower in plan.lowers),
            f"upperdir={STATE}/{plan.upper}",
            f"workdir={STATE}/{plan.work}",
            "userxattr",
        )
    )
    upper = os.open(f"{STATE}/{plan.upper}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("overlay", _NEW_ROOT, "overlay", quiet, options)
    for path in (*plan.system, "/dev"):
        syscalls.mount(path, _NEW_ROOT + path, None, syscalls.MS_BIND | syscalls.MS_REC)
    syscalls.mount("shm", f"{_NEW_ROOT}/dev/shm", "tmpfs", quiet, f"size={_SHM_MB}m,mode=1777")
    syscalls.mount(
        "devpts",
        f"{_NEW_ROOT}/dev/pts",
        "devpts",
        syscalls.MS_NOSUID | syscalls.MS_NOEXEC,
        f"newinstance,ptmxmode=0666,mode=0600,max={_PTYS}",
    )
    syscalls.mount("proc", f"{_NEW_ROOT}/proc", "proc", quiet | syscalls.MS_NOEXEC)
    for source, target in plan.binds:
        place = _NEW_ROOT + target
        syscalls.mount(f"{STATE}/{source}", place, None, syscalls.MS_BIND)
        syscalls.mount(
            "none", place, None, syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | quiet
        )
    return upper


def _loopback_up() -> None:
    request = struct.pack("16sH14x", b"lo", 1)  # ifreq with IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def _settle_proc() -> None:
    """Bound the number of processes, then make all of /proc read-only: its files belong to uid 0, which we are."""
    try:
        Path("/proc/sys/kernel/pid_max").write_text(str(_PID_MAX))
    except OSError:
        pass  # per-namespace since Linux 6.14; before, it is the host's and refuses. RLIMIT_NPROC still holds.
    with contextlib.suppress(OSError):
        Path("/proc/sys/user/max_inotify_instances").write_text(str(_INOTIFY))
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    syscalls.mount("none", "/proc", None, flags | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
