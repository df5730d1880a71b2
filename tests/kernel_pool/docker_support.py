"""A Docker engine to test with, and an image for it, from what this machine has: no network, no registry.

An engine that DOCKER_HOST names is used if it answers. Otherwise, as root and with `dockerd` on the PATH, one of
our own is started on a private socket, without a bridge and without firewall rules, and stopped at the end.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kernel_pool.backends.docker import DockerBackend

IMAGE = "rollout-fork/test-tools:1"
_START_S = 30.0
_PROGRAMS = (
    *(
        "bash",
        "sh",
        "cat",
        "head",
        "tail",
        "ls",
        "mkdir",
        "rm",
        "rmdir",
        "mv",
        "cp",
        "ln",
        "chmod",
        "chown",
        "stat",
    ),
    *(
        "printf",
        "printenv",
        "env",
        "echo",
        "touch",
        "mkfifo",
        "sleep",
        "wc",
        "yes",
        "true",
        "false",
        "seq",
        "dd",
    ),
    *("setsid", "nohup", "sha256sum", "id", "grep", "sync", "truncate"),
)


@contextmanager
def engine(room: Path) -> Iterator[str]:
    """The address of an engine that has `IMAGE`. Raises `LookupError` with the reason when there is none."""
    named = os.environ.get("DOCKER_HOST")
    if named and _answers(named):
        _import_image(named)
        yield named
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        raise LookupError(
            "no Docker engine: DOCKER_HOST names none that answers, and dockerd is not here for root"
        )
    with _own_engine(room) as address:
        _import_image(address)
        yield address


@contextmanager
def _own_engine(room: Path) -> Iterator[str]:
    reasons = []
    for driver in ("overlay2", "vfs"):
        place = room / driver
        place.mkdir(parents=True)
        address = f"unix://{place}/engine.sock"
        command = ["dockerd", "--host", address, "--iptables=false", "--ip6tables=false", "--bridge=none"]
        command += [
            "--data-root",
            f"{place}/data",
            "--exec-root",
            f"{place}/exec",
            "--pidfile",
            f"{place}/pid",
        ]
        with (place / "log").open("wb") as log:
            process = subprocess.Popen([*command, "--storage-driver", driver], stdout=log, stderr=log)
        try:
            if _comes_up(process, address):
                yield address
                return
            reasons.append(f"{driver}: {(place / 'log').read_text(errors='replace')[-300:]}")
        finally:
            _stop(process)
    raise LookupError("no Docker engine could be started: " + "; ".join(reasons))


def _comes_up(process: subprocess.Popen[bytes], address: str) -> bool:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(address):
            return True
        time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def client(address: str) -> Any:
    """The SDK's low-level client."""
    docker = __import__("docker")
    return docker.APIClient(base_url=address, version="auto", timeout=60)


def _answers(address: str) -> bool:
    import docker.errors
    import requests

    try:
        with client(address) as api:
            return bool(api.ping())
    except (docker.errors.DockerException, requests.RequestException, OSError):
        return False


def _import_image(address: str) -> None:
    with client(address) as api:
        if not api.images(IMAGE):
            name, _colon, tag = IMAGE.partition(":")
            api.import_image_from_data(root_file_system(), repository=name, tag=tag)


def root_file_system() -> bytes:
    """A tar of bash, coreutils and the libraries they need."""
    files: dict[str, Path] = {}
    for program in _PROGRAMS:
        found = shutil.which(program, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if found is None:
            continue
        files[f"usr/bin/{program}"] = Path(found)
        told = subprocess.run(["ldd", found], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", told):
            files[library.lstrip("/")] = Path(library)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as tar:
        directories = {"tmp", "root", "etc", "proc", "sys", "dev", "run", "var", "usr", "home"}
        for path in files:
            directories |= {str(above) for above in Path(path).parents if str(above) != "."}
        for directory in sorted(directories):
            info = tarfile.TarInfo(directory)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(info)
        for path, source in sorted(files.items()):
            tar.add(source.resolve(), path)
        link = tarfile.TarInfo("bin")
        link.type, link.linkname = tarfile.SYMTYPE, "usr/bin"
        tar.addfile(link)
    return out.getvalue()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with engine(tmp_path_factory.mktemp("engine")) as found:
            yield found
    except LookupError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def back_end(address: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DockerBackend]:
    state_dir: Path = tmp_path_factory.mktemp("docker")
    made = DockerBackend(state_dir, image=IMAGE, base_url=address)
    yield made
    await made.close()
