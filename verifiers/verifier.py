"""The one protocol of this package; `registry.py` has its implementations, `selfcheck.py` its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .submission import Submission
from .verdict import Verdict

if TYPE_CHECKING:
    from kernel_pool.pool import KernelPool


class Verifier(Protocol):
    """Looks at a finished piece of work and says what it found.

    A result: any `Verdict`, also when the work is bad or the command timed out.
    An exception: only `kernel_pool.KernelError`; the pipeline turns it into an `unknown` with `infra=True`.
    """

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    async def verify(self, submission: Submission, pool: KernelPool) -> Verdict:
        """Verify in fresh forks taken from `pool`; the submission's own kernel is never touched."""
        ...
