"""A point in an episode of the gymnasium env that can be gone on from."""

from __future__ import annotations

from dataclasses import dataclass

from kernel_pool import Snapshot

from .trajectory import Observation


@dataclass(frozen=True)
class EnvState:
    """Made by `CodeTaskEnv.snapshot`. Plain data that never changes; it can be pickled.

    It names the sandbox's files by their digest and does not carry them: a copy works in any process of this node
    whose back-end has the same store (`state_dir`), for as long as the store keeps the layers. Memory and running
    processes are no part of it, nor is the env's random generator.
    """

    task_id: str
    task_digest: str
    backend: str  #: the back-end's name
    snapshot: Snapshot
    trajectory: str  #: the trajectory so far, as JSON
    steps: int  #: env steps so far
    seconds: float  #: of the budget, used so far
    last: Observation  #: what the agent saw last

    @property
    def digest(self) -> str:
        """Names the files and the shell's environment; equal digests are equal states of the sandbox."""
        return self.snapshot.digest
