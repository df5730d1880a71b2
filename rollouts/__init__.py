"""Run a coding agent N ways from the same state, find out which way was better, make training data of it."""

from . import fork as _module  # noqa: F401 - first: a submodule that is loaded later would take the name
from .api import Run, fork, load, run
from .config import RunConfig, load_config
from .errors import ConfigError, EnvironmentLacks, PolicyError, RolloutError, RunDirError, StorageRefused
from .records import BranchRecord, RankingRecord, Sampling

__all__ = [
    "BranchRecord",
    "ConfigError",
    "EnvironmentLacks",
    "PolicyError",
    "RankingRecord",
    "RolloutError",
    "Run",
    "RunConfig",
    "RunDirError",
    "Sampling",
    "StorageRefused",
    "fork",
    "load",
    "load_config",
    "run",
]
