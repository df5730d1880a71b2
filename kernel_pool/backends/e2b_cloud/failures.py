"""Every exception of the E2B SDK as an error of ours: one table, and the two ways to use it.

    the SDK raises                              we raise
    AuthenticationException                     BackendUnavailable, naming E2B_API_KEY
    TemplateException                           BackendUnavailable: the template is too old
    SandboxException with status 404            SnapshotMissing or BackendUnavailable, where a sandbox is made
    RateLimitException, ServiceBusyException,
    SandboxException with status 5xx            KernelStartFailed, after patience has run out
    SandboxNotFound, -NotRunning, -Unreachable  KernelClosed
    NotEnoughSpaceException                     KernelError: the sandbox's disk is full
    TimeoutException                            KernelError: no answer in time
    everything else of the SDK and its transports   KernelError

A command that exits with another code than 0 is none of these: `link.py` makes it a result.
"""

from __future__ import annotations

from types import TracebackType

import httpx
from connectrpc.errors import ConnectError
from e2b.exceptions import (
    AuthenticationException,
    BuildException,
    NotEnoughSpaceException,
    NotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    SandboxNotRunningException,
    SandboxUnreachableException,
    ServiceBusyException,
    TemplateException,
    TimeoutException,
    VolumeException,
)

from ...errors import BackendUnavailable, KernelClosed, KernelError, KernelStartFailed

GONE = (SandboxNotFoundException, SandboxNotRunningException, SandboxUnreachableException)
_TRANSPORT = (httpx.HTTPError, httpx.InvalidURL, ConnectError, OSError)
_OF_THE_SDK = (
    SandboxException,
    AuthenticationException,
    ServiceBusyException,
    BuildException,
    VolumeException,
    *_TRANSPORT,
)


def passing(error: BaseException) -> bool:
    """Whether the same call may well work a moment later, and has changed nothing."""
    status = getattr(error, "status_code", None) or 0
    return isinstance(error, RateLimitException | ServiceBusyException) or status >= 500


def translated(error: BaseException, doing: str) -> KernelError | None:
    """The error of ours for an exception of the SDK; None when it is not the SDK's."""
    if isinstance(error, KernelError) or not isinstance(error, Exception):
        return None
    text = f"{doing}: {error}"
    if isinstance(error, AuthenticationException):
        return BackendUnavailable(
            f"{text}. E2B refuses the key: set E2B_API_KEY to one of https://e2b.dev/dashboard"
        )
    if isinstance(error, TemplateException):
        return BackendUnavailable(f"{text}. Build the template anew with a present version of E2B")
    if passing(error):
        return KernelStartFailed(f"{text}. E2B is busy or limits the rate; fewer kernels at once may help")
    if isinstance(error, GONE):
        return KernelClosed(f"{text}. The sandbox is gone")
    if isinstance(error, NotEnoughSpaceException):
        return KernelError(f"{text}. The sandbox's disk is full")
    if isinstance(error, TimeoutException | httpx.TimeoutException):
        return KernelError(f"{text}. There was no answer in time")
    if isinstance(error, NotFoundException):
        return KernelError(f"{text}. E2B does not know it")
    # The SDK also raises plain `Exception` for answers it cannot use.
    if isinstance(error, _OF_THE_SDK) or type(error) is Exception or _of_pyqwest(error):
        return KernelError(text)
    return None


def _of_pyqwest(error: Exception) -> bool:
    """The SDK's own HTTP client, whose errors have no common base."""
    return type(error).__module__.partition(".")[0] == "pyqwest"


class Translated:
    """A `with` block out of which the SDK's exceptions come as ours; `doing` says what was being done."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise ours in place of the SDK's."""
        ours = translated(error, self._doing) if error is not None else None
        if ours is not None:
            raise ours from error
