"""Registering the gymnasium ids without importing gymnasium, which half of our users never need.

Where gymnasium is loaded already, the ids are registered at once; otherwise in the moment it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

ENV_ID = "rollout_fork/CodeTask-v0"
_REGISTRY = "gymnasium.envs.registration"


def register() -> None:
    """Have `gym.make` and `gym.make_vec` know "envs:rollout_fork/CodeTask-v0", now or as soon as gymnasium is
    imported."""
    module = sys.modules.get(_REGISTRY)
    if module is not None and hasattr(module, "registry"):
        _add(module)
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _add(module: ModuleType) -> None:
    if ENV_ID not in module.registry:
        # Commands' results name processes, times and places in memory: equal actions may be told differently.
        module.register(
            ENV_ID,
            entry_point="envs.code_task:CodeTaskEnv",
            vector_entry_point="envs.vector:ConcurrentVectorEnv",
            nondeterministic=True,
        )


class _Watch(MetaPathFinder):
    """Sees gymnasium's registry being imported, once, and leaves the work to the usual finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader)
        return spec


class _Then(Loader):
    """Another loader, and the registration after it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _add(module)
