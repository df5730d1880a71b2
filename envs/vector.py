"""Many sandboxes stepped at once, in one process: the commands run in the sandboxes, so one event loop is enough.

    envs = ConcurrentVectorEnv(8, suite="suite:starter")
    observations, infos = envs.reset(seed=1)
    observations, rewards, terminations, truncations, infos = envs.step(actions)
    observations, infos = envs.reset(options={"reset_mask": terminations | truncations})

An env that has ended is reset when its user says so (`AutoresetMode.DISABLED`): a reset on its own would start
sandboxes that nobody may want, and put another task's instruction where a result belongs. What fails in one env is
flagged there (`infos["missing"]`, reward NaN, truncated) and touches no other.

Gymnasium's own vector envs work as well (`AsyncVectorEnv(..., shared_memory=False, autoreset_mode=DISABLED)`); they
need a process for each env to step at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from .blocking import MAX_KERNELS, run
from .code_task import CodeTaskEnv

Texts = tuple[str, ...]
Flags = NDArray[np.bool_]
Wanted = tuple[int | None, dict[str, Any]]  #: (seed, options) of a reset

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """What one env returned; from `reset`, reward and flags are those of no step."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Group(Protocol):
    """Some envs by number, wherever they are; what is asked of several is done at once."""

    def reset(self, wanted: Mapping[int, Wanted]) -> dict[int, Row]:
        """Reset those with a (seed, options). Raises `TaskError` for options that name no task of theirs."""
        ...

    def step(self, actions: Mapping[int, str]) -> dict[int, Row]:
        """Step those with an action. What fails in one is flagged in its row."""
        ...

    def render(self) -> Texts:
        """Each env as text."""
        ...

    def close(self) -> None:
        """Free every sandbox. Idempotent."""
        ...


class EnvGroup:
    """A `Group` of this process, on its background loop."""

    def __init__(self, count: int, settings: Mapping[str, Any]) -> None:
        """`settings` are those of `CodeTaskEnv`. Raises as it does, and `ValueError` when a process may not hold
        that many sandboxes."""
        check_room(count, settings)
        first = CodeTaskEnv(**settings, on_failure="flag")
        read = {**settings, "task": None, "suite": first.tasks, "task_ids": None}
        self._envs = [first, *(CodeTaskEnv(**read, on_failure="flag") for _ in range(count - 1))]

    def reset(self, wanted: Mapping[int, Wanted]) -> dict[int, Row]:
        """See `Group`."""
        return run(self._reset(wanted))

    def step(self, actions: Mapping[int, str]) -> dict[int, Row]:
        """See `Group`."""
        return run(self._step(actions))

    def render(self) -> Texts:
        """See `Group`."""
        return tuple(str(env.render()) for env in self._envs)

    def close(self) -> None:
        """See `Group`."""
        for env in self._envs:
            env.close()

    async def _reset(self, wanted: Mapping[int, Wanted]) -> dict[int, Row]:
        work = [self._envs[i].areset(seed=seed, options=options) for i, (seed, options) in wanted.items()]
        found = await asyncio.gather(*work, return_exceptions=True)
        rows = {}
        for number, outcome in zip(wanted, found, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            rows[number] = Row(outcome[0], 0.0, False, False, outcome[1])
        return rows

    async def _step(self, actions: Mapping[int, str]) -> dict[int, Row]:
        work = [self._envs[number].astep(action) for number, action in actions.items()]
        found = await asyncio.gather(*work, return_exceptions=True)
        rows = {}
        for number, outcome in zip(actions, found, strict=True):
            if isinstance(outcome, Exception):
                _log.error("env %d broke", number, exc_info=outcome)
                rows[number] = Row(*await self._envs[number].afail(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                rows[number] = Row(*outcome)
        return rows


def check_room(count: int, settings: Mapping[str, Any]) -> None:
    """Raises `ValueError` when `count` envs of one process may not hold a sandbox each."""
    room = settings.get("max_kernels", MAX_KERNELS)
    if count > room:
        raise ValueError(f"{count} envs in one process need max_kernels={count}; it is {room}")


class GroupVectorEnv(VectorEnv[Texts, Any, NDArray[Any]]):
    """Gymnasium's vector interface to a `Group`."""

    def __init__(
        self, num_envs: int, settings: Mapping[str, Any], make: Callable[[int, Mapping[str, Any]], Group]
    ) -> None:
        """`settings` are those of `CodeTaskEnv` but for `on_failure`, which is "flag" here; `make` makes the group."""
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs is {num_envs!r}; it must be a whole number, at least 1")
        if "on_failure" in settings:
            raise ValueError('on_failure is "flag" in a vector env: one that raised would stop the others')
        with CodeTaskEnv(**settings) as shown:  # what is wrong with the settings is raised here
            self.single_observation_space, self.single_action_space = (
                shown.observation_space,
                shown.action_space,
            )
        self.num_envs = num_envs
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {**CodeTaskEnv.metadata, "autoreset_mode": AutoresetMode.DISABLED}
        self.render_mode = settings.get("render_mode")
        self._observations = [""] * num_envs
        self._over = np.ones(num_envs, np.bool_)
        self._group = make(num_envs, settings)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Texts, dict[str, Any]]:
        """Reset all, or those of `options["reset_mask"]` (bool array of `num_envs`); the others are left as they are.

        `seed` is one number (env i gets seed + i) or one for each. The other options go to every env.
        Raises `ValueError` for seeds or a mask of another length, `ClosedEnvironmentError` after `close`.
        """
        self._check_open()
        options = dict(options or {})
        mask = self._mask(options.pop("reset_mask", None))
        seeds = self._seeds(seed)
        rows = self._group.reset({int(i): (seeds[i], options) for i in np.flatnonzero(mask)})
        self._over[mask] = False
        return self._batch(rows)[0], self._infos(rows)

    def step(self, actions: Sequence[str]) -> tuple[Texts, NDArray[np.float64], Flags, Flags, dict[str, Any]]:
        """Step all envs at once; `actions` holds one text for each.

        Raises, before anything is stepped, `InvalidAction` for what is no text and `ResetNeeded` when one has ended,
        and `ClosedEnvironmentError` after `close`.
        """
        self._check_open()
        if isinstance(actions, str | bytes) or len(actions) != self.num_envs:
            raise InvalidAction(f"one action for each of {self.num_envs} envs is needed")
        for number, action in enumerate(actions):
            if not isinstance(action, str):
                raise InvalidAction(f"the action of env {number} is no text but {type(action).__name__}")
        if self._over.any():
            ended = ", ".join(map(str, np.flatnonzero(self._over)))
            raise ResetNeeded(f'env {ended}: the episode has ended; reset with options={{"reset_mask": ...}}')
        rows = self._group.step(dict(enumerate(actions)))
        observations, rewards, terminations, truncations = self._batch(rows)
        self._over = terminations | truncations
        return observations, rewards, terminations, truncations, self._infos(rows)

    def render(self) -> Texts | None:
        """Each env as text; None without a render mode."""
        return None if self.render_mode is None else self._group.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Free every sandbox."""
        if hasattr(self, "_group"):  # gymnasium closes what was never whole, too
            self._group.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError(
                "the vector env is closed, and its sandboxes are gone; make a new one"
            )

    def _batch(self, rows: Mapping[int, Row]) -> tuple[Texts, NDArray[np.float64], Flags, Flags]:
        rewards = np.zeros(self.num_envs, np.float64)
        terminations, truncations = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        for number, row in rows.items():
            self._observations[number] = row.observation
            rewards[number] = row.reward
            terminations[number], truncations[number] = row.terminated, row.truncated
        return tuple(self._observations), rewards, terminations, truncations

    def _infos(self, rows: Mapping[int, Row]) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for number, row in rows.items():
            infos = self._add_info(infos, row.info, number)
        return infos

    def _mask(self, mask: Any) -> Flags:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        flags: Flags = np.asarray(mask)
        if flags.shape != (self.num_envs,) or flags.dtype != np.bool_ or not flags.any():
            raise ValueError(f"reset_mask must hold {self.num_envs} booleans, at least one of them True")
        return flags

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + number for number in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds for {self.num_envs} envs; give one number or one for each")
        return list(seed)


class ConcurrentVectorEnv(GroupVectorEnv):
    """`num_envs` sandboxes stepped at once on the background loop of this process."""

    def __init__(self, num_envs: int, **settings: Any) -> None:
        """`settings` are those of `CodeTaskEnv`."""
        super().__init__(num_envs, settings, EnvGroup)
