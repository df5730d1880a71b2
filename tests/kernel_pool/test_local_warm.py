"""`python -m pytest` served by fork gives what a cold start gives, or is started cold."""

from __future__ import annotations

import re

import pytest
from local_support import PYTHON, local

from kernel_pool import BaseSpec, ExecResult
from kernel_pool.backends.local.handle import LocalKernel

PYTEST = ["python", "-m", "pytest"]

#: name -> (files, arguments after `pytest`)
CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "pass and fail": (
        {
            "test_a.py": "def test_good():\n    assert 1\n\ndef test_bad():\n    x = {'a': [1, 2]}\n    assert x == {'a': [1, 3]}\n"
        },
        ["-v"],
    ),
    "code beside the tests": (
        {
            "calc.py": "def add(a, b):\n    return a - b\n",
            "tests/test_c.py": "from calc import add\n\ndef test_add():\n    assert add(1, 1) == 2\n",
        },
        ["tests", "-q", "--tb=short"],
    ),
    "import error": ({"test_i.py": "import not_there\n"}, []),
    "syntax error": ({"test_s.py": "def broken(:\n"}, []),
    "SystemExit in a test": ({"test_e.py": "import sys\n\ndef test_e():\n    sys.exit(3)\n"}, []),
    "exit of the whole run": (
        {"test_x.py": "import os\n\ndef test_x():\n    print('gone', flush=True)\n    os._exit(9)\n"},
        ["-s"],
    ),
    "KeyboardInterrupt": ({"test_k.py": "def test_k():\n    raise KeyboardInterrupt\n"}, []),
    "killed": (
        {"test_s.py": "import os, signal\n\ndef test_k():\n    os.kill(os.getpid(), signal.SIGKILL)\n"},
        [],
    ),
    "conftest, fixtures and options": (
        {
            "conftest.py": "import pytest\n\ndef pytest_addoption(parser):\n    parser.addoption('--mine')\n\n@pytest.fixture\ndef mine(request):\n    return request.config.getoption('--mine')\n",
            "test_f.py": "def test_f(mine, tmp_path, capsys, monkeypatch):\n    print('out')\n    assert mine == 'yes' and capsys.readouterr().out == 'out\\n'\n",
            "pytest.ini": "[pytest]\naddopts = --mine=yes -rA\n",
        },
        [],
    ),
    "a conftest that breaks": (
        {"conftest.py": "raise RuntimeError('planted')\n", "test_a.py": "def test_a(): pass\n"},
        [],
    ),
    "an exception out of the program": (
        {
            "conftest.py": "def pytest_cmdline_main(config):\n    raise ValueError('out')\n",
            "test_a.py": "def test_a(): pass\n",
        },
        [],
    ),
    "no tests": ({}, []),
    "wrong option": ({}, ["--no-such-option"]),
    "wrong file": ({}, ["absent.py"]),
    "version": ({}, ["--version"]),
    "subprocess, threads and atexit": (
        {
            "test_p.py": "import atexit, subprocess, sys, threading\n\natexit.register(print, 'at exit')\n\n"
            "def test_p():\n    seen = []\n    t = threading.Thread(target=seen.append, args=(1,)); t.start(); t.join()\n"
            "    out = subprocess.run([sys.executable, '-c', 'print(6*7)'], capture_output=True, text=True).stdout\n"
            "    assert (seen, out) == ([1], '42\\n')\n"
        },
        ["-s"],
    ),
    "what ends with the interpreter": (
        {
            "mod.py": "import sys, threading, weakref\n"
            "class Loud:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('del', self.n)\n"
            "_private = Loud('private'); public = Loud('public'); ring = Loud('ring'); ring.me = ring\n"
            "weakref.finalize(public, print, 'finalized')\n"
            "threading.Thread(target=lambda: (threading.Event().wait(0.2), print('thread'))).start()\n"
            "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
            "sys.mine = Loud('in sys')\n",
            "test_o.py": "import mod\n\ndef test_o(): print('ran')\n",
        },
        ["-s"],
    ),
    "an exit function that breaks": (
        {"test_w.py": "import atexit\n\natexit.register(lambda: 1 / 0)\n\ndef test_w(): pass\n"},
        [],
    ),
    "a closed standard output": (
        {"test_v.py": "import sys\n\ndef test_v():\n    sys.__stdout__.close()\n"},
        ["-s"],
    ),
    "exit with a text": (
        {
            "conftest.py": "def pytest_unconfigure():\n    raise SystemExit('words')\n",
            "test_u.py": "def test_u(): pass\n",
        },
        [],
    ),
    "exit with a number that is too large": (
        {
            "conftest.py": "def pytest_unconfigure():\n    raise SystemExit(258)\n",
            "test_u.py": "def test_u(): pass\n",
        },
        [],
    ),
    "multiprocessing": (
        {
            "test_m.py": "import multiprocessing as mp\n\ndef test_m():\n    with mp.get_context('spawn').Pool(2) as p:\n        assert p.map(abs, [-1, -2]) == [1, 2]\n"
        },
        [],
    ),
    "junit": (
        {"test_j.py": "def test_j():\n    assert False\n"},
        ["--junitxml=/tmp/j.xml", "-p", "no:terminal"],
    ),
}

SURROUNDINGS = """
import gc, os, random, resource, signal, sys, warnings
def test_print(request):
    main = sys.modules['__main__']
    facts = {
        'argv': sys.argv, 'orig_argv': sys.orig_argv, 'path': sys.path, 'flags': sys.flags, 'executable': sys.executable,
        'prefix': sys.prefix, 'env': sorted(os.environ.items()), 'cwd': os.getcwd(), 'main': sorted(vars(main)),
        'main file': main.__file__, 'main spec': main.__spec__.name, 'package': main.__package__,
        'modules': sorted(m for m in sys.modules), 'meta_path': [str(type(f)) for f in sys.meta_path],
        'stdin': (sys.__stdin__.encoding, sys.__stdin__.errors, sys.__stdin__.read(), sys.__stdin__.isatty()),
        'stdout': (sys.__stdout__.encoding, sys.__stdout__.errors, sys.__stdout__.line_buffering, sys.__stdout__.seekable()),
        'stderr': (sys.__stderr__.encoding, sys.__stderr__.errors, sys.__stderr__.line_buffering),
        'signals': [(n, str(signal.getsignal(n))) for n in (1, 2, 13, 15, 17, 25)], 'wakeup': signal.set_wakeup_fd(-1),
        'fds': sorted(os.listdir('/proc/self/fd')), 'umask': os.umask(0o22), 'session': os.getsid(0) == os.getpid(),
        'limits': [resource.getrlimit(r) for r in range(10)], 'caught': open('/proc/self/status').read().split('SigBlk')[1][:80],
        'filters': [f[0] for f in warnings.filters], 'dumpable': os.access('/proc/self/environ', os.R_OK), 'gc': gc.get_threshold(),
        'recursion': sys.getrecursionlimit(), 'threads': len(os.listdir('/proc/self/task')), 'dont': sys.dont_write_bytecode,
    }
    for name, value in facts.items():
        print(name, '=', value)
"""


async def fill(live: LocalKernel, files: dict[str, str]) -> None:
    for name, text in files.items():
        await live.write(name, text.encode())


def same(result: ExecResult) -> tuple[object, ...]:
    """A result without what differs between any two runs: durations, addresses, process ids."""
    out, err = (
        re.sub(r"\d+\.\d+ ?s|0x[0-9a-f]+|pid=\d+", "#", text.decode())
        for text in (result.stdout, result.stderr)
    )
    return result.ended, result.exit_code, result.signal, re.sub(r"=+", "=", out), err


async def both(live: LocalKernel, arguments: list[str], python: list[str]) -> tuple[ExecResult, ExecResult]:
    """The same command warm and, through `env`, cold."""
    command = [*python, "-m", "pytest", *arguments]
    warm = await live.run(command)
    assert warm.warm, warm
    cold = await live.run(["/usr/bin/env", *command])
    assert not cold.warm
    return warm, cold


@pytest.mark.parametrize("name", CASES)
async def test_warm_and_cold_give_the_same_exit_code_and_output(name: str) -> None:
    files, arguments = CASES[name]
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec()))
        await fill(live, files)
        warm, cold = await both(live, arguments, ["python"])
        assert same(warm) == same(cold)
        if name == "junit":
            assert b"<failure" in await live.read("/tmp/j.xml")


def without_libc_signals(line: str) -> str:
    """glibc's posix_spawn ignores its own two signals (32, 33) in a child, which a program cannot see or set."""
    return re.sub(r"(?<=SigIgn:\t)[0-9a-f]+", lambda found: f"{int(found[0], 16) & ~(3 << 31):x}", line)


@pytest.mark.parametrize("python", [["python"], ["python3"], [PYTHON], ["python", "-P"]], ids=" ".join)
async def test_a_program_finds_itself_in_the_same_surroundings(python: list[str]) -> None:
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec(env={"MINE": "yes"})))
        await fill(live, {"test_surroundings.py": SURROUNDINGS})
        warm, cold = await both(live, ["-s", "-q"], python)
        for one, other in zip(same(warm)[3].split("\n"), same(cold)[3].split("\n"), strict=True):  # type: ignore[attr-defined]
            assert without_libc_signals(one) == without_libc_signals(other)


@pytest.mark.parametrize(
    ("files", "env", "command"),
    [
        ({"pluggy.py": "raise SystemExit(77)\n"}, {}, PYTEST),
        ({"json/__init__.py": "raise SystemExit(77)\n"}, {}, PYTEST),
        ({"pytest.py": "raise SystemExit(77)\n"}, {}, PYTEST),
        ({"sitecustomize.py": "import os; os._exit(77)\n"}, {"PYTHONPATH": "/app"}, PYTEST),
        ({"evil/x.py": ""}, {"PYTHONPATH": "/app/evil"}, PYTEST),
        ({}, {"PYTHONHASHSEED": "1"}, PYTEST),
        ({"/tmp/bin/python": "#!/bin/sh\nexit 77\n"}, {"PATH": "/tmp/bin:/usr/bin"}, PYTEST),
        ({"/home/agent/.local/lib/python3.11/site-packages/usercustomize.py": ""}, {}, PYTEST),
        ({}, {"LD_PRELOAD": "/nothing.so"}, PYTEST),
        ({}, {}, ["python", "-X", "dev", "-m", "pytest"]),
        ({}, {}, ["python", "-m", "json.tool"]),
        ({}, {}, ["/usr/bin/python3", "-m", "pytest"]),
    ],
)
async def test_what_could_make_a_cold_start_differ_is_started_cold(
    files: dict[str, str], env: dict[str, str], command: list[str]
) -> None:
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec()))
        await fill(live, files)
        for path in files:
            await live.run(["chmod", "755", path])
        result = await live.run([*command, "--version"], env=env)
        assert not result.warm
        if any("77" in text for text in files.values()):
            assert result.exit_code == 77


async def test_with_safe_path_a_module_in_the_directory_does_not_shadow() -> None:
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec()))
        await fill(live, {"pluggy.py": "raise SystemExit(77)\n"})
        result = await live.run(["python", "-P", "-m", "pytest", "--version"])
        assert (result.warm, result.exit_code) == (True, 0)


async def test_a_warm_run_obeys_limits_and_leaves_nothing_for_the_next() -> None:
    async with local(warm=("pytest",)) as backend:
        live = await backend.start(await backend.prepare(BaseSpec()))
        await fill(
            live,
            {
                "test_l.py": "import sys, time\n\ndef test_l():\n    sys.modules['json'] = None\n    time.sleep(60)\n"
            },
        )
        from kernel_pool import Limits

        result = await live.run(PYTEST, limits=Limits(wall_s=1.0))
        assert (result.warm, result.ended) == (True, "timeout")
        await live.write("test_l.py", b"import json\n\ndef test_l():\n    assert json.dumps(1) == '1'\n")
        again = await live.run(PYTEST)
        assert (again.warm, again.exit_code) == (True, 0)
