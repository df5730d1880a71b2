"""Serving `python -m pytest ...` by fork of an interpreter that has imported it already.

Only when a cold start could not come out differently: the same interpreter, no variable that changes how it
starts, nothing on the way that would shadow a module which is already imported. The forked interpreter is
then put into the state a cold one has when it reaches the module: argv, path, `__main__`, environment, and no
module that a cold start would not have.
"""

# Descriptors, mount targets and hot paths: pathlib has no words for them.
# ruff: noqa: PTH110, PTH118, PTH120, PTH208

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import importlib.machinery
import os
import runpy
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

_SUFFIXES = tuple(importlib.machinery.all_suffixes())
_SENSITIVE = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_")


class Become(BaseException):
    """Unwinds a forked child to the top of the interpreter, where it becomes the job."""

    def __init__(self, job: Callable[[], None]) -> None:
        super().__init__()
        self.job = job


class Warm:
    """What was imported before the zygote did anything else, and who it can serve."""

    def __init__(self, modules: Iterable[str], known: Iterable[str]) -> None:
        """`modules` can be served; `known` are the names in `sys.modules` once they were imported, and no more."""
        self._modules = frozenset(modules)
        self._known = frozenset(known)
        self._tops = frozenset(name.partition(".")[0] for name in self._known)
        self._path = list(sys.path)
        self._gone_if_absent = [entry for entry in sys.path if os.path.exists(entry)]
        self._env = dict(os.environ)
        self._executable = os.path.realpath(sys.executable)
        self._bin = os.path.dirname(sys.executable)

    def job(self, argv: Sequence[str], env: dict[str, str], cwd: str) -> Callable[[], None] | None:
        """How to serve this command warm, or None when it has to be started cold."""
        safe_path = len(argv) > 1 and argv[1] == "-P"
        rest = argv[2:] if safe_path else argv[1:]
        if len(rest) < 2 or rest[0] != "-m" or rest[1] not in self._modules:
            return None
        executable = self._resolve(argv[0], env)
        if executable is None or not self._plain(env) or self._user_site(env):
            return None
        if not safe_path and self._shadowed(cwd):
            return None
        module, arguments = rest[1], list(rest[2:])

        def enter() -> None:
            self._settle(executable, list(argv), env, None if safe_path else os.path.realpath(cwd))
            sys.argv = ["-m", *arguments]
            _run_as_main(module, self._known)

        def become() -> None:
            raise Become(enter)

        return become

    def _resolve(self, name: str, env: dict[str, str]) -> str | None:
        """The path of this interpreter under the name, or None when the name means something else."""
        if "/" in name:
            found: str | None = name
        elif name.startswith("python"):
            candidates = (os.path.join(part, name) for part in env.get("PATH", "").split(":"))
            found = next((path for path in candidates if os.access(path, os.X_OK)), None)
        else:
            return None
        if (
            found is None
            or os.path.dirname(found) != self._bin
            or os.path.realpath(found) != self._executable
        ):
            return None
        return found

    def _plain(self, env: dict[str, str]) -> bool:
        def sensitive(source: dict[str, str]) -> dict[str, str]:
            return {name: value for name, value in source.items() if name.startswith(_SENSITIVE)}

        return sensitive(env) == sensitive(self._env)

    def _user_site(self, env: dict[str, str]) -> bool:
        """Whether a cold start would find a user site directory (and run what lies in it)."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return os.path.lexists(os.path.join(env.get("HOME", "/"), ".local", "lib", version))

    def _shadowed(self, cwd: str) -> bool:
        """Whether the directory, which comes first on the path, holds a module of a name already imported."""
        try:
            names = os.listdir(cwd)
        except OSError:
            return True
        for name in names:
            top = name.partition(".")[0]
            if top not in self._tops:
                continue
            if any(name == top + suffix for suffix in _SUFFIXES):
                return True
            if any(os.path.lexists(os.path.join(cwd, name, "__init__" + suffix)) for suffix in _SUFFIXES):
                return True
        return False

    def _settle(self, executable: str, argv: list[str], env: dict[str, str], first_path: str | None) -> None:
        flags = sys.flags if first_path is not None else _with_safe_path()
        for name in [name for name in sys.modules if name not in self._known]:
            del sys.modules[name]
        absent = {entry for entry in self._gone_if_absent if not os.path.exists(entry)}
        sys.path[:] = [entry for entry in self._path if entry not in absent]
        if first_path is not None:
            sys.path.insert(0, first_path)
        sys.__dict__["flags"] = flags
        sys.orig_argv = argv
        sys.executable = executable
        os.environ.clear()
        os.environ.update(env)
        main = types.ModuleType("__main__")
        main.__dict__.update(__builtins__=builtins, __annotations__={})
        sys.modules["__main__"] = main


def _with_safe_path() -> object:
    """`sys.flags` as `python -P` has it. Python code cannot make such a record; its C interface can."""
    import ctypes

    api = ctypes.pythonapi
    api.PyStructSequence_New.restype = ctypes.py_object
    api.PyStructSequence_New.argtypes = [ctypes.py_object]
    api.PyStructSequence_SetItem.restype = None
    api.PyStructSequence_SetItem.argtypes = [ctypes.py_object, ctypes.c_ssize_t, ctypes.py_object]
    api.Py_IncRef.argtypes = [ctypes.py_object]
    flags = sys.flags
    made: object = api.PyStructSequence_New(type(flags))
    for place, name in enumerate(type(flags).__match_args__):
        value: object = True if name == "safe_path" else getattr(flags, name)
        api.Py_IncRef(value)  # SetItem steals a reference
        api.PyStructSequence_SetItem(made, place, value)
    return made


def _run_as_main(module: str, shared: frozenset[str]) -> None:
    """What `python -m module` does; an escaping exception is shown without our own frames."""
    code = 0
    try:
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise  # the interpreter tells it
        code = end.code or 0
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - the top of an interpreter
        inner = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(inner), inner)
        code = 1
    _leave(code, shared)


def _leave(code: int, shared: frozenset[str]) -> NoReturn:
    """End as an interpreter does (`Py_FinalizeEx`), taking apart only what this command made.

    The shared modules are left to the kernel: to clear them would first copy every page they lie on, which
    costs as much as a small test run. Streams that cannot be flushed are left to the interpreter's own end.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if _flush():
        _unload(shared)
        if _flush():
            os._exit(code & 0xFF)
    sys.exit(code)


def _flush() -> bool:
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except Exception:  # noqa: BLE001 - whatever the program left there: the interpreter's own end reports it
        return False
    return True


def _unload(shared: frozenset[str]) -> None:
    """What `finalize_modules` of CPython does, for the modules that are not shared."""
    for name in ("path", "argv", "ps1", "ps2", "last_type", "last_value", "last_traceback", "meta_path"):
        if name in sys.__dict__:
            sys.__dict__[name] = None
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    loaded = []
    for name in [name for name in sys.modules if name not in shared or name == "__main__"]:
        with contextlib.suppress(TypeError):  # anything can be put there
            loaded.append(weakref.ref(sys.modules[name]))
        sys.modules[name] = None  # type: ignore[assignment]
    gc.collect()
    for reference in reversed(loaded):
        module = reference()
        if isinstance(module, types.ModuleType):
            _clear(module.__dict__)


def _clear(names: dict[str, object]) -> None:
    """`_PyModule_ClearDict`: private names first, then all others but the builtins."""
    for private in (True, False):
        for name in list(names):
            if name != "__builtins__" and (name[:1] == "_" and name[1:2] != "_") is private:
                names[name] = None
