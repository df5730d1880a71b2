"""The lowest tree of every kernel: standard directories, a minimal /etc, and places for the machine's tools."""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from pathlib import Path

from ...kernel import Network
from . import machine
from .store import Store

_DIRECTORIES = {
    "app": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "home/agent": 0o755,
    "logs": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "run": 0o755,
    "srv": 0o755,
    "tmp": 0o1777,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}

_FILES = {
    "etc/passwd": f"root:x:0:0:root:{machine.HOME}:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost kernel\n::1 localhost\n",
    "etc/hostname": "kernel\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/resolv.conf": "",
}

#: taken from the machine as they are: public facts that tools need, nothing personal
_FROM_MACHINE = (
    "etc/alternatives",
    "etc/debian_version",
    "etc/java-*-openjdk",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/localtime",
    "etc/mime.types",
    "etc/os-release",
    "etc/protocols",
    "etc/services",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/ssl/openssl.cnf",
    "etc/timezone",
)
_MAX_FILE = 4 * 1024 * 1024


def ensure_skeleton(store: Store, network: Network) -> str:
    """The digest of this machine's skeleton, stored when it was not."""
    content = _content()
    if network == "host":
        with contextlib.suppress(OSError):
            content["etc/resolv.conf"] = stat.S_IFREG | 0o644, Path("/etc/resolv.conf").read_bytes()
    text = json.dumps(
        [[path, mode, hashlib.sha256(data).hexdigest()] for path, (mode, data) in sorted(content.items())]
    )
    digest = hashlib.sha256(text.encode()).hexdigest()
    if not store.has(digest):
        scratch = store.scratch()
        tree = scratch / "tree"
        tree.mkdir()
        store.own(tree, 0o755)
        for path in sorted(content):
            _write(store, tree / path, *content[path])
        store.publish(scratch, digest, {"skeleton": True})
    return digest


def _write(store: Store, target: Path, mode: int, data: bytes) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        target.mkdir()
    elif kind == stat.S_IFLNK:
        target.symlink_to(data.decode())
    else:
        target.write_bytes(data)
    store.own(target)
    if kind != stat.S_IFLNK:
        target.chmod(stat.S_IMODE(mode))


def _content() -> dict[str, tuple[int, bytes]]:
    """path -> (type and mode, bytes or link target)."""
    found = {path: (stat.S_IFDIR | mode, b"") for path, mode in _DIRECTORIES.items()}
    found |= {path: (stat.S_IFREG | 0o644, text.encode()) for path, text in _FILES.items()}
    for pattern in _FROM_MACHINE:
        for path in Path("/").glob(pattern):
            _take(path, found)
    for name, target in machine.system_links().items():
        found[name[1:]] = (stat.S_IFLNK | 0o777, target.encode())
    for directory in machine.system_directories():
        found[directory[1:]] = (stat.S_IFDIR | 0o755, b"")
    for name in list(found):
        for parent in map(str, Path(name).parents):
            if parent != ".":
                found.setdefault(parent, (stat.S_IFDIR | 0o755, b""))
    return found


def _take(path: Path, found: dict[str, tuple[int, bytes]]) -> None:
    """One entry of the machine's /etc; links stay links, what cannot be read is left out."""
    name = str(path)[1:]
    try:
        info = path.lstat()
        if stat.S_ISLNK(info.st_mode):
            found[name] = (stat.S_IFLNK | 0o777, str(path.readlink()).encode())
        elif stat.S_ISDIR(info.st_mode):
            found[name] = (stat.S_IFDIR | 0o755, b"")
            for inner in path.iterdir():
                _take(inner, found)
        elif stat.S_ISREG(info.st_mode) and info.st_size <= _MAX_FILE:
            found[name] = (stat.S_IFREG | 0o644 | (info.st_mode & 0o111), path.read_bytes())
    except OSError:
        return
