"""The E2B back-end: kernels that are sandboxes of E2B, through its own SDK.

Read `backend.py` first. `cloud.py` makes, keeps and ends sandboxes; `link.py` carries a request to the agent inside
one (`inside/`) and its answer back; `kernel.py` is the `Kernel` over it; `store.py` remembers which E2B snapshot
holds which state; `failures.py` turns every exception of the SDK into an error of ours.
"""

from __future__ import annotations

from .backend import E2BBackend

__all__ = ["E2BBackend"]
