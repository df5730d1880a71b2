"""The errors of the kernel layer.

    KernelError                     anything the sandbox machinery got wrong; never the agent's fault
    ├── BackendUnavailable          this machine lacks what the back-end needs (exit code 3)
    ├── UnsupportedFeature          the back-end cannot do what was asked; nothing was started
    ├── KernelClosed                the kernel was closed, or its process died
    ├── KernelStartFailed           a kernel could not be brought up (no space, no descriptors, ...)
    ├── SnapshotMissing             a snapshot's layers are not here any more
    ├── FileAccessError             a read or write inside the kernel failed (absent, not a file, too large)
    └── PoolError
        ├── PoolClosed              the pool was closed
        └── LeaseTimeout            no kernel became free in time

A command that fails, times out or floods its output is *not* an error: it is an `ExecResult`.
"""

from __future__ import annotations


class KernelError(Exception):
    """The sandbox machinery failed. Says what, where, and what to do."""


class BackendUnavailable(KernelError):
    """This machine lacks what the back-end needs; the message names it and the mend."""


class UnsupportedFeature(KernelError):
    """The back-end does not give what was asked for."""


class KernelClosed(KernelError):
    """The kernel is closed, or its process died under us."""


class KernelStartFailed(KernelError):
    """A kernel could not be started."""


class SnapshotMissing(KernelError):
    """A layer of the snapshot is not in the store any more."""


class FileAccessError(KernelError):
    """A file operation inside the kernel failed; `reason` is one of the strings in the class body."""

    ABSENT = "absent"
    NOT_A_FILE = "not a file"
    TOO_LARGE = "too large"
    DENIED = "denied"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[FileAccessError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


class PoolError(KernelError):
    """The pool refused or could not serve a request."""


class PoolClosed(PoolError):
    """The pool was closed."""


class LeaseTimeout(PoolError):
    """No kernel became free within the time the caller gave."""
