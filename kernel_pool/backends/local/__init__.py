"""The local back-end: Linux namespaces and overlayfs, as root and as an ordinary user, no daemon.

Story: `backend.LocalBackend` (host) keeps a `store` of immutable layers and one `spawner`, which talks to
a *zygote* (`inside/zygote.py`), a small process that clones one namespaced child per kernel. That child
is the kernel's PID 1 (`inside/init.py`) and serves `handle.LocalKernel` over a socket pair. Whatever is
in `inside/` runs on the other side of the wall; it uses the standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import LocalBackend

__all__ = ["LocalBackend"]


def __getattr__(name: str) -> Any:
    # Lazy, so that the zygote can import `inside` without the host's half of the package.
    if name == "LocalBackend":
        from .backend import LocalBackend

        return LocalBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
