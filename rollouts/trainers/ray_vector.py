"""Many sandboxes stepped at once on a Ray cluster: a few actors, with several envs in each.

    envs = RayVectorEnv(64, actors=8, suite="suite")
    observations, infos = envs.reset(seed=1)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Used as `envs.vector.ConcurrentVectorEnv`. An actor steps its envs on one event loop, so it needs a process and not a
process for each env. When an actor dies, its envs alone are flagged as missing, and their next reset brings up
another one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from envs.code_task import FAILED, CodeTaskEnv
from envs.env_info import info_of, lost
from envs.vector import EnvGroup, GroupVectorEnv, Row, Texts, Wanted, check_room

from ..actors import connect
from ..config import RunConfig
from ..errors import EnvironmentLacks

#: Seconds that actors have to free their sandboxes.
CLOSE_S = 20.0


class RayVectorEnv(GroupVectorEnv):
    """`num_envs` sandboxes in `actors` processes of a Ray cluster.

    Uses the connection to Ray that there is; without one, the cluster that RAY_ADDRESS names, or one that is started
    on this machine and ends with the env.
    """

    def __init__(
        self,
        num_envs: int,
        actors: int | None = None,
        actor_options: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        """`actors` (default: one for every eight envs) share the envs evenly. `actor_options` are Ray's, on top of
        `num_cpus=0` (CPUs are the sandboxes' to use) and spreading over the nodes. `settings` are those of
        `CodeTaskEnv`. Returns when all actors are up. Raises `ValueError`, what `CodeTaskEnv` raises here or in an
        actor, and `EnvironmentLacks` without a cluster or when an actor dies at once.
        """
        count = max(1, -(-num_envs // 8)) if actors is None else actors
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= max(1, num_envs):
            raise ValueError(
                f"actors is {actors!r}; it must be a whole number from 1 to num_envs ({num_envs})"
            )
        super().__init__(
            num_envs, settings, lambda size, own: RayGroup(size, count, own, dict(actor_options or {}))
        )


class RayGroup:
    """An `envs.vector.Group` over actors; env i is in actor i % `actors`."""

    def __init__(
        self, count: int, actors: int, settings: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        self._sizes = [len(range(actor, count, actors)) for actor in range(actors)]
        check_room(max(self._sizes), settings)
        self._settings = dict(settings)
        with CodeTaskEnv(**settings) as shown:
            blank = info_of(None, shown.parts, "")
        self._infos = [blank] * count  # of each env, as it was told last
        self._actors: list[Any] = [None] * actors
        self._connected = connect(RunConfig())
        begun = False
        try:
            self._make = ray.remote(**{"num_cpus": 0, "scheduling_strategy": "SPREAD", **options})(_EnvActor)
            self._begin()
            begun = True
        finally:
            if not begun:
                self.close()

    def _begin(self) -> None:
        """Start all actors. What is wrong with one would else look like an actor that dies, reset after reset."""
        self._start(range(len(self._actors)))
        try:
            ray.get([actor.begin.remote() for actor in self._actors])
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except RayActorError as error:
            raise EnvironmentLacks(f"the actors of the envs did not start: {_told(error)}") from None

    def _start(self, actors: Iterable[int]) -> None:
        for actor in actors:
            self._actors[actor] = self._make.remote(self._sizes[actor], self._settings)

    def reset(self, wanted: Mapping[int, Wanted]) -> dict[int, Row]:
        """See `Group`. Where there is no actor (any more), one is started."""
        used = {number % len(self._actors) for number in wanted}
        self._start(actor for actor in used if self._actors[actor] is None)
        return self._ask("reset", wanted)

    def step(self, actions: Mapping[int, str]) -> dict[int, Row]:
        """See `Group`."""
        return self._ask("step", actions)

    def render(self) -> Texts:
        """See `Group`. The envs of an actor that died have nothing to show."""
        found = [("",) * size for size in self._sizes]
        asked = {actor: each.render.remote() for actor, each in enumerate(self._actors) if each is not None}
        for actor, ref in asked.items():
            with suppress(RayActorError):
                found[actor] = ray.get(ref)
        return tuple(found[i % len(found)][i // len(found)] for i in range(len(self._infos)))

    def close(self) -> None:
        """See `Group`."""
        handles = [handle for handle in self._actors if handle is not None]
        self._actors = [None] * len(self._actors)
        if handles and ray.is_initialized():
            ray.wait([handle.close.remote() for handle in handles], num_returns=len(handles), timeout=CLOSE_S)
            for handle in handles:
                ray.kill(handle)
        if self._connected is not None:
            ray.shutdown()
            for name in self._connected:
                os.environ.pop(name, None)
            self._connected = None

    def _ask(self, method: str, asked: Mapping[int, Any]) -> dict[int, Row]:
        """Ask all actors at once. What an actor raises is raised once all have answered."""
        count = len(self._actors)
        shares: dict[int, dict[int, Any]] = {}
        for number, value in asked.items():
            shares.setdefault(number % count, {})[number // count] = value
        refs = {
            actor: getattr(self._actors[actor], method).remote(share)
            for actor, share in shares.items()
            if self._actors[actor] is not None
        }
        rows: dict[int, Row] = {}
        raised: list[Exception] = []
        for actor, share in shares.items():
            try:
                found = ray.get(refs[actor]) if actor in refs else {}
            except RayTaskError as error:
                raised.append(error.cause if isinstance(error.cause, Exception) else error)
                continue
            except RayActorError as error:
                self._actors[actor] = None
                found = dict.fromkeys(share, _told(error))
            for place in share:
                number = place * count + actor
                rows[number] = self._row(number, found.get(place, "the process of this env is gone"))
        if raised:
            raise raised[0]
        return rows

    def _row(self, number: int, found: Row | str) -> Row:
        """A row as it came, or that of an env whose process died, for the given reason."""
        if isinstance(found, str):
            found = Row(FAILED, math.nan, False, True, lost(self._infos[number], found))
        self._infos[number] = found.info
        return found


def _told(error: RayActorError) -> str:
    return str(error).strip().splitlines()[0][:300]


class _EnvActor:
    """Actor: an `EnvGroup` in a process of its own, made when it is first needed: what is wrong with it is then
    raised as itself."""

    def __init__(self, count: int, settings: Mapping[str, Any]) -> None:
        self._wanted = count, settings
        self._group: EnvGroup | None = None

    def begin(self) -> None:
        self._envs()

    def reset(self, wanted: Mapping[int, Wanted]) -> dict[int, Row]:
        return self._envs().reset(wanted)

    def step(self, actions: Mapping[int, str]) -> dict[int, Row]:
        return self._envs().step(actions)

    def render(self) -> Texts:
        return self._envs().render()

    def close(self) -> None:
        if self._group is not None:
            self._group.close()

    def _envs(self) -> EnvGroup:
        if self._group is None:
            self._group = EnvGroup(*self._wanted)
        return self._group
