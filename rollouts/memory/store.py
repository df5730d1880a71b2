"""What a memory store is, and the lazy registry of its implementations."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigError
from ..governance import Admitted

#: The least relevance that is shown, in [0, 1]; see `text.relevance` for the measure.
FLOOR = 0.15

#: name -> "module:callable(path) -> MemoryStore"
STORES = {"sqlite": "rollouts.memory.sqlite:SqliteMemory"}


@dataclass(frozen=True)
class Memory:
    """One remembered branch. All text in it is untrusted."""

    id: str  #: run/rollout/branch
    run_id: str
    rollout_id: str
    branch_id: str
    task_id: str
    task_digest: str
    instruction: str  #: shortened
    key_steps: str  #: one per line: what changed something or tested, from the trajectory itself
    diff: str  #: of the finished work, shortened
    steps: int
    namespace: str
    created: float  #: Unix time
    relevance: float | None = (
        None  #: to the text it was retrieved for, in [0, 1]; None: not retrieved by text
    )

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class MemoryStore(Protocol):
    """Keeps winners and finds them again. Safe for several processes at once.

    A result: nothing found, or an entry that was there already. An exception: `RunDirError` when the
    store's file cannot be used.
    """

    def add(self, admitted: Admitted, *, namespace: str = "default") -> bool:
        """Keep a branch; whether it was new. Only a branch that is solved and verified, of the training
        split, and whose own text gives no orders to a model is kept; every branch once per namespace."""
        ...

    def retrieve(
        self,
        task_text: str,
        k: int = 3,
        *,
        namespace: str = "default",
        exclude_task: str | Sequence[str] | None = None,
        exclude_run: str | None = None,
        floor: float = FLOOR,
    ) -> list[Memory]:
        """At most `k` entries, most relevant first, all at least `floor` relevant, one per task.

        `exclude_task` (id or digest, or several) leaves out a task's own entries: evaluating a task with
        its own earlier solutions measures memory, not skill.
        """
        ...

    def recent(self, k: int = 10, *, namespace: str = "default") -> list[Memory]:
        """The latest entries."""
        ...

    def count(self, *, namespace: str = "default") -> int:
        """How many entries there are."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


def open_memory(name: str, path: Path | str) -> MemoryStore:
    """A memory store by name. Raises `ConfigError` for an unknown name, `RunDirError` for an unusable file."""
    if name not in STORES:
        near = difflib.get_close_matches(name, STORES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(STORES)}"
        raise ConfigError(f"memory store {name!r}: unknown; {hint}")
    module, _, attribute = STORES[name].partition(":")
    make: Callable[[Path], MemoryStore] = getattr(import_module(module), attribute)
    return make(Path(path))
