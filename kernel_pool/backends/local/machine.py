"""What kernels see of this machine, and what to type when it does not allow kernels."""

from __future__ import annotations

import errno
import functools
import os
import platform
import sys
from pathlib import Path

HOME = "/home/agent"

#: root's kernels run as this user, which owns nothing outside the state directory
_KERNEL_UID = 64_123

#: this interpreter as kernels know it; its own name may go through directories that they do not see
PYTHON = os.path.abspath(sys.executable)  # noqa: PTH100 - a link stays one: it is the way to a venv

_PATH = f"{Path(PYTHON).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BASE_ENV: dict[str, str] = {
    "PATH": _PATH,
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Equal runs are equal: the order of sets is no source of chance, from one process of ours to the next either.
    "PYTHONHASHSEED": "0",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
}


def kernel_ids() -> tuple[int, int]:
    """(uid, gid) that own what kernels write, as the host counts them."""
    if privileged():
        return _KERNEL_UID, _KERNEL_UID
    return os.geteuid(), os.getegid()


@functools.cache
def privileged() -> bool:
    """Whether we are root and can become another user (root of a rootless container cannot)."""
    if os.geteuid() != 0:
        return False
    ranges = (map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines())
    return any(first <= _KERNEL_UID < first + count for first, _outside, count in ranges)


@functools.cache
def system_directories() -> list[str]:
    """Directories of the host that kernels see, read-only, at the same path; none inside another."""
    candidates = ["/usr", *(f"/{name}" for name in _ROOT_NAMES if not Path("/", name).is_symlink())]
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    candidates += map(os.path.abspath, prefixes)
    found: list[str] = []
    existing = [c for c in candidates if Path(c).is_dir()]
    for path in sorted({*existing, *map(os.path.realpath, existing)}):
        if not any(path == above or path.startswith(above + "/") for above in found):
            found.append(path)
    return found


@functools.cache
def system_links() -> dict[str, str]:
    """/bin -> usr/bin and its like, as the host has them."""
    links = {f"/{name}": Path("/", name) for name in _ROOT_NAMES}
    return {name: str(path.readlink()) for name, path in links.items() if path.is_symlink()}


_ROOT_NAMES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def missing() -> str | None:
    """Why kernels cannot work here, as far as a look tells; None when it is worth trying."""
    if sys.platform != "linux":
        return "the local back-end needs Linux; use the docker or e2b back-end on this machine"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"the local back-end knows x86_64 and aarch64, not {platform.machine()}"
    if not Path("/bin/bash").exists():
        return "the local back-end needs bash: apt-get install bash"
    return None


def explain(failure: str, state_dir: Path) -> str:
    """The failure in words, with what to do about it."""
    failure = failure.strip()
    if os.strerror(errno.ENOSPC) in failure and "unshare" not in failure and "clone" not in failure:
        return f"no room in {state_dir} ({failure}): free some, or set the back-end's option state_dir"
    if "mount overlay" in failure:
        return (
            f"this machine does not let the local back-end lay {state_dir} over its tools with overlayfs ({failure}): "
            "type: sudo modprobe overlay; or set the back-end's option state_dir to a directory on ext4, xfs or btrfs"
        )
    hints = []
    for name, good in (
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("kernel/unprivileged_userns_clone", "1"),
    ):
        knob = Path("/proc/sys", name)
        if not privileged() and knob.exists() and knob.read_text().strip() != good:
            hints.append(f"type: sudo sysctl -w {name.replace('/', '.')}={good}")
    maximum = Path("/proc/sys/user/max_user_namespaces")
    if maximum.exists() and maximum.read_text().strip() == "0":
        hints.append("type: sudo sysctl -w user.max_user_namespaces=15000")
    if not hints:
        hints.append(
            "run outside of a container, or start the container with --privileged; or use the docker or e2b back-end"
        )
    return f"this machine does not let the local back-end make namespaces ({failure}); " + "; or ".join(hints)
