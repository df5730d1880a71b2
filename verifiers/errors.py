"""The errors of the verifier layer.

    VerifierError                   a verifier was set up wrongly; nothing was verified
    ├── EmptyPipeline               a pipeline without a verifier, or without a gate
    └── BadPipeline                 a name twice, a weight that is no weight

What goes wrong while verifying is no error but a `Verdict`: "fail" when the work is at fault, "unknown" when
nobody can tell, with `infra=True` when it was the machinery. Only `kernel_pool.KernelError` leaves `verify`.
"""

from __future__ import annotations


class VerifierError(ValueError):
    """A verifier was set up wrongly. Says what and what to do."""


class EmptyPipeline(VerifierError):
    """Nothing that could fail: a pipeline without criteria would pass everything."""


class BadPipeline(VerifierError):
    """The parts of a pipeline contradict each other."""
