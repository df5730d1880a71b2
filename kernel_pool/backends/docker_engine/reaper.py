"""Containers and volumes whose process is gone, and images that have grown old."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from ...journal import alive
from .engine import Absent, Conflict, Engine
from .maker import BOOT, OWNER

UNUSED_S = 30 * 24 * 3600.0  #: images of states and bases are removed this long after they were made


def reap(engine: Engine) -> int:
    """Remove what dead owners on this machine left; how many containers that were. Blocks. Safe beside living ones."""
    api, removed = engine.api, 0
    containers = engine.blocking("kernels left behind", api.containers, all=True, filters={"label": OWNER})
    for container in containers:
        if _left_behind(container.get("Labels") or {}):
            with suppress(Absent, Conflict):  # somebody else reaps it
                engine.blocking(
                    "a kernel left behind", api.remove_container, container["Id"], force=True, v=True
                )
                removed += 1
    volumes = engine.blocking("volumes left behind", api.volumes, filters={"label": OWNER})
    for volume in volumes.get("Volumes") or []:
        if _left_behind(volume.get("Labels") or {}):
            with suppress(Absent, Conflict):
                engine.blocking("a volume left behind", api.remove_volume, volume["Name"], force=True)
    return removed


def prune(engine: Engine, older_than_s: float = UNUSED_S) -> int:
    """Remove our images that are older than that and in no container; how many. They are made again on demand."""
    api, removed = engine.api, 0
    for image in engine.blocking("old images", api.images, filters={"label": OWNER}):
        if float(image.get("Created") or 0) < time.time() - older_than_s:
            for name in image.get("RepoTags") or [image["Id"]]:
                with suppress(Absent, Conflict):
                    engine.blocking("an old image", api.remove_image, name)
                    removed += 1
    return removed


def _left_behind(labels: dict[str, str]) -> bool:
    owner: dict[str, Any] = {}
    try:
        pid, start = labels[OWNER].split("-")
        boot, namespace = labels[BOOT].split(" ")
        owner = {"pid": int(pid), "start": int(start), "boot": boot, "pid_namespace": namespace}
    except (KeyError, ValueError):
        return False  # not written by us
    return not alive(owner)
