"""Thin Ray shells around the same objects that work without Ray.

Per node: one `NodeBound` (how many kernels the node may have), some branch actors, one verifier actor.
The driver is the one writer.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernel_pool import KernelPool, LeaseTimeout, LocalBound
from kernel_pool.journal import process_start
from verifiers import Submission, Verdict
from verifiers.judge import Preference, Score
from verifiers.judge_prompt import Work

from .config import JudgeConfig, RunConfig
from .errors import EnvironmentLacks
from .executor import BranchJob, Worker, branch_settings, build_backend, build_verifier, max_concurrent
from .fork import missing_record
from .judging import JudgeService
from .records import BranchRecord

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
_ON_SIGTERM = signal.getsignal(signal.SIGTERM)  # Ray puts its own in the place of the caller's
import ray  # noqa: E402 (after what it would replace has been looked at)
from ray.exceptions import RayActorError, RayError, RayTaskError  # noqa: E402
from ray.job_config import JobConfig  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

#: Seconds between looks at whether the holders of places are still alive.
HOLDER_CHECK_S = 1.0
#: Seconds a cluster's head may take to answer the first time.
REACH_S = 5.0


class NodeBound:
    """Actor: the places for kernels on one node, first come first served, shared by its processes.

    A place whose holder died is free again within `HOLDER_CHECK_S`.
    """

    def __init__(self, places: int) -> None:
        self._bound = LocalBound(places)
        self._held: dict[int, tuple[Any, int, int | None]] = {}
        self._next = 0
        self._sweeper = asyncio.get_event_loop().create_task(self._sweep())

    async def acquire(self, pid: int, start: int | None, timeout_s: float | None) -> int:
        """A place for the process (pid, start time), as a number to give back."""
        token = await self._bound.acquire(timeout_s)
        self._next += 1
        self._held[self._next] = (token, pid, start)
        return self._next

    async def release(self, number: int) -> None:
        """Give a place back. Twice is as good as once."""
        held = self._held.pop(number, None)
        if held is not None:
            await self._bound.release(held[0])

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(HOLDER_CHECK_S)
            for number, (_, pid, start) in list(self._held.items()):
                if process_start(pid) != start:
                    await self.release(number)


class RayBound:
    """The node's bound, an actor found by its name, as a pool sees it."""

    def __init__(self, name: str) -> None:
        self._actor = ray.get_actor(name)
        self._me = (os.getpid(), process_start(os.getpid()))

    async def acquire(self, timeout_s: float | None) -> int:
        """Wait for a place. Raises `LeaseTimeout`."""
        request = self._actor.acquire.remote(*self._me, timeout_s)
        try:
            return int(await request)
        except asyncio.CancelledError:
            # The place may have been given already: hand it back when it arrives.
            asyncio.get_running_loop().create_task(self._give_back(request))
            raise
        except LeaseTimeout as error:
            raise LeaseTimeout(str(error)) from None

    async def release(self, token: int) -> None:
        """Give a place back."""
        await self._actor.release.remote(token)

    async def _give_back(self, request: Any) -> None:
        try:
            await self._actor.release.remote(await request)
        except (RayError, LeaseTimeout):
            return


class JudgeActor:
    """Actor: the one judge of a run, so that its budget, its memory and its places are one for all processes."""

    def __init__(self, config: JudgeConfig, run_dir: str) -> None:
        self._service = JudgeService(config, Path(run_dir))

    async def compare(self, instruction: str, first: Work, second: Work, sample: int) -> Preference:
        """See `verifiers.judge.Asked`."""
        return await self._service.compare(instruction, first, second, sample=sample)

    async def score(self, instruction: str, work: Work) -> Score:
        """See `verifiers.judge.Asked`."""
        return await self._service.score(instruction, work)

    async def close(self) -> None:
        """Free what it holds."""
        await self._service.close()


class RayJudge:
    """The run's judge, an actor found by its name. A judge whose process died gave no answer."""

    def __init__(self, name: str) -> None:
        self._actor = ray.get_actor(name)

    async def compare(self, instruction: str, first: Work, second: Work, *, sample: int = 0) -> Preference:
        """See `verifiers.judge.Asked`."""
        try:
            found: Preference = await _answer(self._actor.compare.remote(instruction, first, second, sample))
            return found
        except RayActorError as error:
            return Preference("invalid", "unavailable", reasons=(_first_line(error), ""))

    async def score(self, instruction: str, work: Work) -> Score:
        """See `verifiers.judge.Asked`."""
        try:
            found: Score = await _answer(self._actor.score.remote(instruction, work))
            return found
        except RayActorError as error:
            return Score(None, "unavailable", reason=_first_line(error))


class VerifierActor:
    """Actor: verifies finished work in fresh forks, away from the process that ran the branch."""

    def __init__(self, config: RunConfig, bound: str, judge: str) -> None:
        self._pool = KernelPool(build_backend(config), max_concurrent(config), bound=RayBound(bound))
        asked = RayJudge(judge) if config.judge else None
        self._verifier = build_verifier(config, asked)
        self._heldout = build_verifier(config, asked, heldout=True)

    async def verify(self, submission: Submission, heldout: bool = False) -> Verdict:
        """See `verifiers.Verifier`."""
        verifier = self._heldout if heldout else self._verifier
        return await verifier.verify(submission, self._pool)

    async def close(self) -> None:
        """End its kernels."""
        await self._pool.close()
        await self._pool.backend.close()


class BranchActor:
    """Actor: carries out branches, several at once on one event loop."""

    def __init__(self, config: RunConfig, run_id: str, run_dir: str, bound: str, verifier: str) -> None:
        async def verify(submission: Submission) -> Verdict:
            verdict: Verdict = await _answer(ray.get_actor(verifier).verify.remote(submission))
            return verdict

        async def confirm(submission: Submission) -> Verdict:
            verdict: Verdict = await _answer(ray.get_actor(verifier).verify.remote(submission, True))
            return verdict

        self._worker = Worker(
            config, run_id, Path(run_dir), verify=verify, confirm=confirm, bound=RayBound(bound)
        )

    async def prepare(self, task_id: str) -> str:
        """See `executor.Executor`."""
        return (await self._worker.prepare(task_id)).digest

    async def run(self, job: BranchJob) -> BranchRecord:
        """See `executor.Executor`."""
        return await self._worker.run(job)

    async def confirm(self, record: BranchRecord) -> list[Verdict]:
        """See `executor.Executor`."""
        return await self._worker.confirm(record)

    async def close(self) -> None:
        """Free what it holds."""
        await self._worker.close()


class RayExecutor:
    """Branches on the actors of a Ray cluster."""

    def __init__(self, config: RunConfig, run_id: str, run_dir: Path, tasks: Mapping[str, Any]) -> None:
        self._config, self._tasks = config, tasks
        self._settings = branch_settings(config, run_id)
        self._closed_with = connect(config)
        self._actors: list[Any] = []
        self._others: list[Any] = []
        self._closing: list[Any] = []  #: of the others, those that hold something
        self.judge = self._start_judge(run_id, run_dir)
        for node in _nodes():
            self._start_node(node, run_id, run_dir)
        if not self._actors:
            raise RayError("the cluster has no node with a CPU")
        self._load = [0] * len(self._actors)
        kernels = max_concurrent(config)
        share = -(-kernels // self._per_node)
        self._in_flight = config.engine.in_flight or share
        self.slots = self._in_flight * len(self._actors)

    def _start_judge(self, run_id: str, run_dir: Path) -> RayJudge | None:
        """On this node, where the run directory is."""
        self._judge_name = f"{run_id}-{uuid.uuid4().hex}-judge"
        if self._config.judge is None:
            return None
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        judge = _remote(JudgeActor, here, self._judge_name).remote(self._config.judge, str(run_dir))
        self._others.append(judge)
        self._closing.append(judge)
        return RayJudge(self._judge_name)

    def _start_node(self, node: Mapping[str, Any], run_id: str, run_dir: Path) -> None:
        config = self._config
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        cpus = int(node["Resources"].get("CPU", 0))
        if cpus < 1:
            return
        self._per_node = config.engine.workers or min(cpus, 4)
        # Actors know one another by name: a handle among the arguments would not survive a restart.
        unique = f"{run_id}-{uuid.uuid4().hex}"
        bound, verifier = f"{unique}-bound", f"{unique}-verifier"
        self._others.append(_remote(NodeBound, here, bound).remote(max_concurrent(config)))
        verifying = _remote(VerifierActor, here, verifier).remote(config, bound, self._judge_name)
        self._others.append(verifying)
        self._closing.append(verifying)
        for _ in range(self._per_node):
            actor = _remote(BranchActor, here)
            self._actors.append(actor.remote(config, run_id, str(run_dir), bound, verifier))

    async def prepare(self, task_id: str) -> str:
        """See `executor.Executor`. The first actor builds it; others of its node find it built."""
        return str(await _answer(self._actors[0].prepare.remote(task_id)))

    async def confirm(self, record: BranchRecord) -> list[Verdict]:
        """See `executor.Executor`. A process that dies meanwhile has told nothing."""
        try:
            found: list[Verdict] = await _answer(self._actors[self._idlest()].confirm.remote(record))
            return found
        except RayActorError as error:
            reason = f"the process that verified it died: {_first_line(error)}"
            return [Verdict(verifier="confirm", outcome="unknown", infra=True, reason=reason)]

    def _idlest(self) -> int:
        return min(range(len(self._actors)), key=self._load.__getitem__)

    async def run(self, job: BranchJob) -> BranchRecord:
        """On the actor that has least to do."""
        index = self._idlest()
        self._load[index] += 1
        try:
            record: BranchRecord = await _answer(self._actors[index].run.remote(job))
            return record
        except RayActorError as error:
            task = self._tasks[job.task_id]
            reason = f"the process that ran it died: {_first_line(error)}"
            name = self._config.policy.name
            return missing_record(self._settings, task, job.spec, name, "infra_error", reason)
        finally:
            self._load[index] -= 1

    async def close(self) -> None:
        """End all actors, and Ray when it was started here."""
        closing = [actor.close.remote() for actor in self._actors]
        closing += [actor.close.remote() for actor in self._closing]
        if closing:
            await asyncio.wait([asyncio.ensure_future(_settled(ref)) for ref in closing], timeout=20)
        for actor in [*self._actors, *self._others]:
            ray.kill(actor)
        self._actors, self._others, self._closing = [], [], []
        if self._closed_with is not None:
            ray.shutdown()
            _forget(self._closed_with)
            self._closed_with = None


def check_cluster(config: RunConfig) -> None:
    """Raises `EnvironmentLacks` when nothing listens at the configured address; Ray would try for minutes."""
    address = _address(config)
    if address is None or ray.is_initialized():
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto` and `local` are Ray's own words
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except OSError as error:
        raise EnvironmentLacks(
            f"no Ray cluster at {address} ({error.strerror or error}); start one with `ray start --head`, "
            "or leave engine.address and RAY_ADDRESS unset to use this machine alone"
        ) from None


def connect(config: RunConfig) -> list[str] | None:
    """Connect to the configured cluster, or start one on this machine.

    None when there was a connection already; else we shut it down, and the environment variables named in
    the list go with it. Raises `EnvironmentLacks` when there is no cluster to be had.
    """
    if ray.is_initialized():
        return None
    check_cluster(config)
    address = _address(config)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    closed_with: list[str] = []
    if address is None:
        options |= {"include_dashboard": False, "object_store_memory": 256 * 1024 * 1024}
        # Workers import as this process does. By itself Ray has them look into the current directory first,
        # where somebody's own `ranking.py` may lie; what leaves that out is the mark of a client's job.
        paths = [str(Path(entry).absolute()) for entry in reversed(sys.path)]
        options["job_config"] = JobConfig(_client_job=True, _py_driver_sys_path=paths)
        # Ray would put a token into the home directory, and every later `ray start` would ask for it.
        if not any(name.startswith("RAY_AUTH_") for name in os.environ):
            os.environ["RAY_AUTH_TOKEN"] = _own_token()
            closed_with = ["RAY_AUTH_TOKEN", "RAY_AUTH_MODE"]  # Ray itself sets the second one
    try:
        ray.init(address=address, **options)
    except (RuntimeError, OSError, ValueError, RayError) as error:
        where = f"no Ray cluster at {address}" if address else "Ray did not start on this machine"
        _forget(closed_with)
        raise EnvironmentLacks(f"{where}: {str(error).strip().splitlines()[0][:300]}") from None
    if callable(_ON_SIGTERM) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _ON_SIGTERM)
    return closed_with


@functools.cache
def _own_token() -> str:
    """One for all clusters that this process starts: Ray reads it once and keeps to it."""
    return secrets.token_hex(32)


def _address(config: RunConfig) -> str | None:
    return config.engine.address or os.environ.get("RAY_ADDRESS") or None


def _forget(variables: list[str]) -> None:
    for name in variables:
        os.environ.pop(name, None)


def _nodes() -> list[Mapping[str, Any]]:
    return sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeID"]))


def _remote(cls: type, where: Any, name: str | None = None) -> Any:
    """An actor class on a node. CPUs are the sandboxes' to use, so actors themselves reserve none."""
    options = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": 1000, "scheduling_strategy": where}
    return ray.remote(**options)(cls).options(name=name)


async def _answer(ref: Any) -> Any:
    """An actor's answer; what it raised is raised here as itself and not as Ray's report of it."""
    try:
        return await ref
    except RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


async def _settled(ref: Any) -> None:
    try:
        await ref
    except RayError:
        return
