"""Sandboxes: kernels that can be frozen and forked, and the bounded pool that hands them out."""

from .bound import Bound, LocalBound
from .errors import (
    BackendUnavailable,
    FileAccessError,
    KernelClosed,
    KernelError,
    KernelStartFailed,
    LeaseTimeout,
    PoolClosed,
    PoolError,
    SnapshotMissing,
    UnsupportedFeature,
)
from .kernel import (
    Backend,
    BaseSpec,
    Capabilities,
    CopyIn,
    ExecResult,
    FileInfo,
    Kernel,
    Limits,
    ReadOnlyMount,
    RunStep,
    Snapshot,
)
from .lease import Lease
from .pool import KernelPool
from .stats import PoolStats

__all__ = [
    "Backend",
    "BackendUnavailable",
    "BaseSpec",
    "Bound",
    "Capabilities",
    "CopyIn",
    "ExecResult",
    "FileAccessError",
    "FileInfo",
    "Kernel",
    "KernelClosed",
    "KernelError",
    "KernelPool",
    "KernelStartFailed",
    "Lease",
    "LeaseTimeout",
    "Limits",
    "LocalBound",
    "PoolClosed",
    "PoolError",
    "PoolStats",
    "ReadOnlyMount",
    "RunStep",
    "Snapshot",
    "SnapshotMissing",
    "UnsupportedFeature",
]
