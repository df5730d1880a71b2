"""From a `BaseSpec` to an image that kernels start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import KernelError
from ...kernel import BaseSpec, CopyIn
from ..bases import base_key
from ..local.machine import BASE_ENV
from ..local.tree import HashCache, digest, scan
from . import archives, guest
from .engine import Absent, Engine
from .exchange import carry_out

FORMAT = 2  # part of every base's key
_TOLD = 4000  # characters of a failing step's output


def ensure_image(engine: Engine, name: str) -> str:
    """The id of an image, pulled if it is not here. Blocks. Raises `KernelError`."""
    api, what = engine.api, f"image {name}"
    try:
        return str(engine.blocking(what, api.inspect_image, name)["Id"])
    except Absent:
        pass
    try:
        engine.blocking(what, api.pull, *_repository_and_tag(name))
        return str(engine.blocking(what, api.inspect_image, name)["Id"])
    except KernelError as error:
        raise KernelError(
            f"image {name} is not here and could not be pulled: {error}. Try `docker pull {name}`, or name another "
            "image in the task or in backend.image"
        ) from error


def key(spec: BaseSpec, source: str) -> str:
    """The digest of everything a base is made from; `source` is an image's id or a build context's digest."""
    return base_key(spec, FORMAT, "docker", source, BASE_ENV)


def context_digest(dockerfile: Path) -> str:
    """The digest of a Dockerfile and its context. Raises `KernelError`."""
    try:
        return f"{dockerfile.name}:{digest(scan(dockerfile.resolve().parent, HashCache())[0])}"
    except OSError as error:
        raise KernelError(f"{dockerfile} and its directory cannot be read: {error.strerror}") from error


def build(engine: Engine, dockerfile: Path, labels: dict[str, str]) -> str:
    """Build it with its directory as context; the image's id. Blocks. Raises `KernelError` with the failing step."""
    what = f"building {dockerfile}"
    lines = engine.blocking(
        what,
        engine.api.build,
        path=str(dockerfile.resolve().parent),
        dockerfile=dockerfile.name,
        rm=True,
        forcerm=True,
        labels=labels,
        decode=True,
    )
    step, log, image = "", "", ""
    for line in engine.blocking(what, _all, lines):
        text = line.get("stream", "")
        if text.startswith("Step "):
            step = text.strip()
        log = (log + text)[-_TOLD:]
        image = line.get("aux", {}).get("ID", image)
        if "error" in line:
            raise KernelError(
                f"{dockerfile} could not be built, {step or 'before its first step'}: {line['error']}\n{log}".rstrip()
            )
    if not image:
        raise KernelError(f"{what}: the engine named no image; the end of its output:\n{log}")
    return image


def copy_in(engine: Engine, container: str, step: CopyIn) -> None:
    """Carry out a `CopyIn` in a running container. Blocks. Raises `KernelError`."""
    source = step.source.resolve()
    target = step.target
    name = source.name
    if not source.is_dir() and not target.endswith("/"):
        target, _slash, name = target.rpartition("/")
    target = target.rstrip("/") or "/"
    made = carry_out(engine, container, guest.directory(target))
    if made != b"ok":
        raise KernelError(f"{target} could not be made in the image: {made.decode(errors='replace')}")
    with archives.scratch() as tar:
        archives.packed_directory(source, tar, name)
        archives.put(engine, container, target, tar)


def _all(lines: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(lines)


def _repository_and_tag(name: str) -> tuple[str, str | None]:
    """A name without a tag would pull every tag there is."""
    last = name.rpartition("/")[2]
    return (name, None) if ":" in last or "@" in last else (name, "latest")


def usual_env(engine: Engine, image: str) -> dict[str, str]:
    """Variables that kernels of every back-end have, as far as the image does not set them. Blocks.

    They keep programs from leaving caches behind, which would be part of every state.
    """
    config = engine.blocking(f"image {image}", engine.api.inspect_image, image)["Config"] or {}
    own = {variable.partition("=")[0] for variable in config.get("Env") or []}
    return {name: value for name, value in BASE_ENV.items() if name not in {*own, "PATH", "HOME"}}


def settings(config: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """(workdir, labels) of an image's configuration."""
    return config.get("WorkingDir") or "/", config.get("Labels") or {}
