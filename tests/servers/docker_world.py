"""The containers and images behind `docker_api`: each container is a kernel of the local back-end."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from kernel_pool import BaseSpec, Kernel, KernelError, ReadOnlyMount, Snapshot
from kernel_pool.backends.local import LocalBackend

from .docker_things import (
    ApiError,
    Container,
    Exec,
    Image,
    labelled,
    limits_of,
    lines_of,
    members,
    new_id,
)

Query = dict[str, str]
Answer = tuple[int, object] | tuple[int, object, dict[str, str]]


class World:
    """Everything there is. A route's method is given the groups of its pattern, `query` and `body`."""

    def __init__(self, directory: Path) -> None:
        self.images: dict[str, Image] = {}
        self.containers: dict[str, Container] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.execs: dict[str, Exec] = {}
        self._room = directory / "volumes"  # what they hold, on the host
        self._backend = LocalBackend(directory, warm=())
        self._contents: dict[str, dict[str, tuple[object, ...]]] = {}

    async def open(self) -> None:
        """Make the one image that is there from the beginning."""
        state = await self._backend.prepare(BaseSpec(workdir="/"))
        self.images["python:3.11-slim"] = Image(new_id(), state, {"Env": [], "Labels": {}, "WorkingDir": ""})

    async def close(self) -> None:
        """End all kernels."""
        for container in list(self.containers.values()):
            await self._end(container)
        await self._backend.close()

    async def answer(self, method: str, path: str, query: Query, body: bytes) -> Answer:
        """Carry out one request."""
        for route_method, pattern, work in _ROUTES:
            found = re.fullmatch(pattern, path)
            if route_method == method and found:
                try:
                    return await work(self, *found.groups(), query=query, body=body)
                except ApiError as error:
                    return error.status, {"message": str(error)}
                except KernelError as error:
                    return 500, {"message": str(error)}
        return 404, {"message": f"this server does not know {method} {path}"}

    def container(self, name: str) -> Container:
        """By name or id."""
        for found in self.containers.values():
            if name in (found.name, found.id):
                return found
        raise ApiError(404, f"No such container: {name}")

    def _running(self, name: str) -> Container:
        found = self.container(name)
        if not found.running:
            raise ApiError(409, f"Container {name} is not running")
        return found

    async def kill_container(self, name: str) -> None:
        """What an engine does when PID 1 dies."""
        container = self.container(name)
        container.running = False
        await self._end(container)

    async def _end(self, container: Container) -> None:
        for command in list(container.commands):
            command.cancel()
        if container.commands:
            await asyncio.wait(container.commands)
        if container.kernel is not None:
            await container.kernel.close()
            container.kernel = None

    async def _kernel(self, container: Container) -> Kernel:
        async with container.lock:
            if container.kernel is None:
                mounts = [
                    ReadOnlyMount(self._room / mount["Source"], mount["Target"]) for mount in container.mounts
                ]
                container.kernel = await self._backend.start(container.image.state, mounts=mounts)
                directories = ["/run/rollout-fork", container.config.get("WorkingDir") or "/"]
                await container.kernel.run(["mkdir", "-p", *directories], cwd="/")
            return container.kernel

    async def _create(self, *, query: Query, body: bytes) -> Answer:
        config = json.loads(body)
        image = self._image(config["Image"])
        name = query.get("name") or new_id()[:12]
        if name in self.containers:
            raise ApiError(409, f"Conflict. The container name /{name} is already in use")
        host = config.get("HostConfig") or {}
        labels = {**(image.config.get("Labels") or {}), **(config.get("Labels") or {})}
        given = config.get("Env") or []
        names = {variable.partition("=")[0] for variable in given}
        kept = [old for old in image.config.get("Env") or [] if old.partition("=")[0] not in names]
        merged = {**config, "Labels": labels, "Env": [*kept, *given]}
        self.containers[name] = Container(
            name, new_id(), image, merged, limits_of(host), host.get("Mounts") or []
        )
        return 201, {"Id": self.containers[name].id, "Warnings": []}

    async def _start(self, name: str, **_rest: Any) -> Answer:
        container = self.container(name)
        await self._kernel(container)
        container.running = True
        return 204, None

    async def _inspect(self, name: str, **_rest: Any) -> Answer:
        found = self.container(name)
        state = {"Running": found.running, "OOMKilled": False, "Paused": False}
        return 200, {"Id": found.id, "Name": f"/{found.name}", "State": state, "Config": found.config}

    async def _list(self, *, query: Query, **_rest: Any) -> Answer:
        wanted = json.loads(query.get("filters") or "{}")
        return 200, [
            {"Id": found.id, "Names": [f"/{found.name}"], "Labels": found.config["Labels"], "SizeRw": 0}
            for found in self.containers.values()
            if all(labelled(found.config["Labels"], label) for label in wanted.get("label") or [])
            and all(re.search(name, f"/{found.name}") for name in wanted.get("name") or [])
        ]

    async def _kill(self, name: str, **_rest: Any) -> Answer:
        container = self._running(name)
        for command in list(container.commands):
            command.cancel()
        return 204, None

    async def _pause(self, name: str, **_rest: Any) -> Answer:
        self._running(name)
        return 204, None

    async def _update(self, name: str, *, body: bytes, **_rest: Any) -> Answer:
        self._running(name).limits = limits_of(json.loads(body))
        return 200, {"Warnings": []}

    async def _remove(self, name: str, **_rest: Any) -> Answer:
        container = self.container(name)
        del self.containers[container.name]
        container.running = False
        await self._end(container)
        return 204, None

    async def _changes(self, name: str, **_rest: Any) -> Answer:
        container = self.container(name)
        now = await self._content(await (await self._kernel(container)).snapshot())
        then = await self._content(container.image.state)
        told = [
            {"Path": f"/{path}", "Kind": 2 if now.get(path, ("whiteout",))[0] == "whiteout" else 0}
            for path in sorted(now.keys() | then.keys())
            if now.get(path) != then.get(path) and not path.startswith("run/rollout-fork")
        ]
        return 200, told

    async def _content(self, state: Snapshot) -> dict[str, tuple[object, ...]]:
        """What a state's layer holds, in comparable terms."""
        if state.digest not in self._contents:
            with tempfile.TemporaryDirectory() as room:
                archive = Path(room, "layer.tar")
                await self._backend.export(state, archive)
                self._contents[state.digest] = await asyncio.to_thread(members, archive)
        return self._contents[state.digest]

    async def _get_archive(self, name: str, *, query: Query, **_rest: Any) -> Answer:
        kernel = await self._kernel(self.container(name))
        parent, _slash, last = query["path"].rstrip("/").rpartition("/")
        packed = await kernel.run(
            ["tar", "-C", parent or "/", "--owner=0", "--group=0", "-cf", "-", "--", last or "."],
            limits=limits_of({}),
        )
        if not packed.ok:
            raise ApiError(404, f"Could not find the file {query['path']} in container {name}")
        return 200, packed.stdout, {"X-Docker-Container-Path-Stat": "e30="}

    async def _put_archive(self, name: str, *, query: Query, body: bytes) -> Answer:
        container = self.container(name)
        for mount in container.mounts:
            if mount["Target"] == query["path"] and not mount["ReadOnly"]:
                with tarfile.open(fileobj=io.BytesIO(body)) as tar:
                    tar.extractall(self._room / mount["Source"], filter="tar")  # a test's own files
                return 200, None
        kernel = await self._kernel(container)
        unpacking = ["tar", "-C", query["path"], "--no-same-owner", "-xpf", "-"]
        unpacked = await kernel.run(unpacking, stdin=body, limits=limits_of({}))
        if not unpacked.ok:
            raise ApiError(500, unpacked.stderr.decode(errors="replace"))
        return 200, None

    # -- exec --------------------------------------------------------------------------------------------------

    async def _make_exec(self, name: str, *, body: bytes, **_rest: Any) -> Answer:
        made = Exec(new_id(), self._running(name), json.loads(body))
        self.execs[made.id] = made
        return 201, {"Id": made.id}

    async def _inspect_exec(self, exec_id: str, **_rest: Any) -> Answer:
        made = self.execs[exec_id]
        return 200, {"ID": exec_id, "Running": made.running, "ExitCode": made.exit_code}

    async def execute(self, made: Exec, stdin: bytes, send: Callable[[str, bytes], None]) -> None:
        """Run the command of an exec to its end."""
        container = made.container
        kernel = await self._kernel(container)
        env = dict(variable.split("=", 1) for variable in container.config.get("Env") or [])
        command = asyncio.ensure_future(
            kernel.run(
                made.config["Cmd"],
                cwd=made.config.get("WorkingDir") or container.config.get("WorkingDir") or "/",
                env=env,
                stdin=stdin,
                limits=container.limits,
                on_output=send,
            )
        )
        container.commands.add(command)
        made.running = True
        await asyncio.wait({command})
        container.commands.discard(command)
        made.running = False
        made.exit_code = 137
        if not command.cancelled() and command.exception() is None:
            result = command.result()
            if result.ended == "exited":
                made.exit_code = result.exit_code
            elif result.signal is not None:
                made.exit_code = 128 + result.signal

    # -- images, volumes, the engine ---------------------------------------------------------------------------

    def _image(self, name: str) -> Image:
        for known, image in self.images.items():
            if name in (known, image.id):
                return image
        raise ApiError(404, f"No such image: {name}")

    async def _inspect_image(self, name: str, **_rest: Any) -> Answer:
        image = self._image(name)
        layers = [f"sha256:{n:064x}" for n in range(image.layers)]
        return 200, {"Id": image.id, "Config": image.config, "RootFS": {"Type": "layers", "Layers": layers}}

    async def _list_images(self, **_rest: Any) -> Answer:
        return 200, [{"Id": image.id, "RepoTags": [name]} for name, image in self.images.items()]

    async def _pull(self, *, query: Query, **_rest: Any) -> Answer:
        raise ApiError(404, f"pull access denied for {query.get('fromImage')}, repository does not exist")

    async def _remove_image(self, name: str, **_rest: Any) -> Answer:
        self._image(name)
        self.images = {known: image for known, image in self.images.items() if name not in (known, image.id)}
        return 200, [{"Untagged": name}]

    async def _commit(self, *, query: Query, body: bytes) -> Answer:
        container = self.container(query["container"])
        given = json.loads(body) or {}
        config = {key: container.config.get(key) for key in ("Env", "WorkingDir")}
        config["Labels"] = {**container.config["Labels"], **(given.get("Labels") or {})}
        state = await (await self._kernel(container)).snapshot()
        made = Image(new_id(), state, config, container.image.layers + 1)
        self.images[f"{query['repo']}:{query['tag']}"] = made
        return 201, {"Id": made.id}

    async def _build(self, *, query: Query, body: bytes) -> Answer:
        with tarfile.open(fileobj=io.BytesIO(body)) as context:
            file = context.extractfile(query.get("dockerfile") or "Dockerfile")
            assert file is not None
            lines = [line.split(" ", 1) for line in file.read().decode().splitlines() if line]
        image = self._image(lines[0][1])
        kernel = await self._backend.start(image.state)
        told: list[dict[str, Any]] = []
        try:
            for number, (word, rest) in enumerate(lines[1:], 2):
                told.append({"stream": f"Step {number}/{len(lines)} : {word} {rest}\n"})
                result = await kernel.run(["bash", "-c", rest], cwd="/")
                told.append({"stream": (result.stdout + result.stderr).decode(errors="replace")})
                if not result.ok:
                    message = f"The command '{rest}' returned a non-zero code: {result.exit_code}"
                    return 200, lines_of([*told, {"error": message}])
            made = Image(new_id(), await kernel.snapshot(), image.config, image.layers + 1)
        finally:
            await kernel.close()
        self.images[made.id] = made
        return 200, lines_of([*told, {"aux": {"ID": made.id}}])

    async def _make_volume(self, *, body: bytes, **_rest: Any) -> Answer:
        volume = json.loads(body)
        self.volumes[volume["Name"]] = volume
        (self._room / volume["Name"]).mkdir(parents=True)
        return 201, volume

    async def _list_volumes(self, **_rest: Any) -> Answer:
        return 200, {"Volumes": list(self.volumes.values()), "Warnings": []}

    async def _remove_volume(self, name: str, **_rest: Any) -> Answer:
        if self.volumes.pop(name, None) is None:
            raise ApiError(404, f"no such volume: {name}")
        return 204, None

    async def _ping(self, **_rest: Any) -> Answer:
        return 200, b"OK"

    async def _version(self, **_rest: Any) -> Answer:
        return 200, {"Version": "20.10.0-loopback", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}

    async def _info(self, **_rest: Any) -> Answer:
        facts = {"CgroupVersion": "1", "CgroupDriver": "cgroupfs", "SecurityOptions": ["name=seccomp"]}
        return 200, {**facts, "MemoryLimit": False, "PidsLimit": False}


_NAME = r"([\w.-]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Awaitable[Answer]]], ...] = (
    ("GET", "/_ping", World._ping),
    ("GET", "/version", World._version),
    ("GET", "/info", World._info),
    ("POST", "/containers/create", World._create),
    ("GET", "/containers/json", World._list),
    ("GET", f"/containers/{_NAME}/json", World._inspect),
    ("POST", f"/containers/{_NAME}/start", World._start),
    ("POST", f"/containers/{_NAME}/kill", World._kill),
    ("POST", f"/containers/{_NAME}/(?:un)?pause", World._pause),
    ("POST", f"/containers/{_NAME}/update", World._update),
    ("DELETE", f"/containers/{_NAME}", World._remove),
    ("GET", f"/containers/{_NAME}/changes", World._changes),
    ("GET", f"/containers/{_NAME}/archive", World._get_archive),
    ("PUT", f"/containers/{_NAME}/archive", World._put_archive),
    ("POST", f"/containers/{_NAME}/exec", World._make_exec),
    ("GET", f"/exec/{_NAME}/json", World._inspect_exec),
    ("POST", "/commit", World._commit),
    ("POST", "/build", World._build),
    ("POST", "/images/create", World._pull),
    ("GET", "/images/json", World._list_images),
    ("GET", "/images/(.+)/json", World._inspect_image),
    ("DELETE", "/images/(.+)", World._remove_image),
    ("POST", "/volumes/create", World._make_volume),
    ("GET", "/volumes", World._list_volumes),
    ("DELETE", f"/volumes/{_NAME}", World._remove_volume),
)
