"""The errors of the orchestrator.

    RolloutError
    ├── ConfigError          the call or the config was wrong (exit code 2): what, where, how to mend
    ├── EnvironmentLacks     this machine lacks something, a key for instance (exit code 3)
    ├── RunDirError          the run directory is not what it should be (exit code 2)
    │   └── StorageRefused   the disk is full, or its permissions do not allow it (exit code 3)
    ├── RecordError          a stored line cannot be read: file, line, reason
    └── PolicyError          a policy's endpoint failed; the branch ends as `policy_error`

Errors of the sandbox are in `kernel_pool.errors`.
"""

from __future__ import annotations


class RolloutError(Exception):
    """Base of everything raised on purpose here."""

    exit_code = 1


class ConfigError(RolloutError):
    """The call was wrong."""

    exit_code = 2


class EnvironmentLacks(RolloutError):
    """Something this machine or this environment does not have."""

    exit_code = 3


class RunDirError(RolloutError):
    """The run directory cannot be used."""

    exit_code = 2


class StorageRefused(RunDirError):
    """Writing or reading failed; what was written before is intact."""

    exit_code = 3


class RecordError(RolloutError):
    """A stored record cannot be read."""


class PolicyError(RolloutError):
    """The endpoint failed after all retries. `kind` is a short word for tables (rate_limit, auth, ...)."""

    def __init__(self, message: str, kind: str = "error") -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[PolicyError], tuple[str, str]]:
        return type(self), (str(self), self.kind)
