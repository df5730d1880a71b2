"""How every container is made: what it may do, what it is bounded by, whose it is."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ...errors import KernelError
from ...journal import process_start, surroundings
from ...kernel import Limits, Network
from . import guest
from .engine import Absent, Conflict, Engine
from .runner import bounds

OWNER, BOOT, KERNEL = "rollout-fork.owner", "rollout-fork.boot", "rollout-fork.kernel"
_INSTANCE = "rollout-fork.instance"  # one back-end of the owner

#: What is left to root inside a container: to work on files of any owner (package managers, tasks that test
#: permissions), to become a lesser user (`su`, apt's own user) and to end what such a user started.
_KEPT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "KILL")
_PRIVATE_OPTIONS = "rw,nosuid,nodev,noexec,size=16m,nr_inodes=256,mode=1777"
_SHM = "64m"


def owner_labels() -> dict[str, str]:
    """Whose a container, image or volume is: this process."""
    pid = os.getpid()
    here = surroundings()
    return {OWNER: f"{pid}-{process_start(pid)}", BOOT: f"{here['boot']} {here['pid_namespace']}"}


class Maker:
    """Makes containers of one back-end instance. Every method blocks."""

    def __init__(self, engine: Engine, network: Network, runtime: str | None) -> None:
        self._instance = uuid.uuid4().hex
        self.labels = {**owner_labels(), _INSTANCE: self._instance}
        self._engine = engine
        self._network = network
        self._runtime = runtime

    @staticmethod
    def new_name() -> str:
        """A name that no other container has."""
        return f"rollout-fork-{os.getpid()}-{uuid.uuid4().hex[:12]}"

    def make(
        self,
        name: str,
        image: str,
        *,
        limits: Limits | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str = "/",
        volumes: Sequence[tuple[str, str]] = (),
        run: bool = True,
        fill: bool = False,
    ) -> None:
        """A container of this name; `volumes` are (name, target), read-only unless to `fill`. Raises `KernelError`; nothing is left."""
        api, what = self._engine.api, f"container {name} of image {image}"
        memory, processes = bounds(limits or Limits())
        host: dict[str, Any] = {
            "cap_drop": ["ALL"],
            "cap_add": list(_KEPT_CAPABILITIES),
            "security_opt": ["no-new-privileges:true"],
            "pids_limit": processes,
            "mem_limit": memory,
            "memswap_limit": memory,  # together: no swap
            "ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "network_mode": self._network,
            "ipc_mode": "private",
            "shm_size": _SHM,
            "tmpfs": {guest.PRIVATE: _PRIVATE_OPTIONS},
            "log_config": {"Type": "none", "Config": {}},
            "mounts": [
                {
                    "Type": "volume",
                    "Source": volume,
                    "Target": target,
                    "ReadOnly": not fill,
                    "VolumeOptions": {"NoCopy": True},
                }
                for volume, target in volumes
            ],
        }
        if self._runtime is not None:
            host["runtime"] = self._runtime
        try:
            self._engine.blocking(
                what,
                api.create_container,
                image,
                name=name,
                entrypoint=guest.INIT[:1],
                command=guest.INIT[1:],
                environment=dict(env or {}),
                working_dir=workdir,
                labels={**self.labels, KERNEL: name, "rollout-fork.entries": ""},
                healthcheck={"Test": ["NONE"]},
                host_config=self._engine.blocking(what, api.create_host_config, **host),
            )
            if run:
                self._engine.blocking(what, api.start, name)
        except KernelError:
            with suppress(
                KernelError
            ):  # the first error is the one to tell; what stays is reaped by its label
                self.remove(name)
            raise

    def remove(self, name: str) -> None:
        """End and delete a container. One that is gone, or being removed, is fine."""
        with suppress(Absent, Conflict):
            self._engine.blocking(
                f"removing {name}", self._engine.api.remove_container, name, force=True, v=True
            )

    def remove_all(self) -> None:
        """End and delete every container of this instance, also one that was being made just now."""
        ours = {"label": f"{_INSTANCE}={self._instance}"}
        what = "the kernels of this process"
        for container in self._engine.blocking(what, self._engine.api.containers, all=True, filters=ours):
            self.remove(container["Id"])

    @contextmanager
    def borrowed(
        self, image: str, *, run: bool = True, fill: Sequence[tuple[str, str]] = ()
    ) -> Iterator[str]:
        """A container for the time of a `with`, with volumes to fill if there are any."""
        name = self.new_name()
        self.make(name, image, run=run, volumes=fill, fill=True)
        try:
            yield name
        finally:
            self.remove(name)
