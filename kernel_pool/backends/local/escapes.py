"""Ways out of a kernel, each tried from inside: tests run all of them, and so does `rollouts doctor`.

A row is a piece of Python that gets somewhere it must not, or raises. `Lures` puts what is to be reached on the
host: servers, a file, a variable, a process, a shared memory segment. On the host itself most rows work, which
is how the tests know that a row is an attack at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ...kernel import Kernel, Limits

_PRELUDE = """
import ctypes, errno, fcntl, json, os, platform, resource, signal, socket, struct, subprocess, sys, time
lure = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
def call(x86, arm, *args):
    got = libc.syscall(ctypes.c_long(x86 if X86 else arm), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got
def c(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def status(name):
    return next(l.split(":")[1].strip() for l in open("/proc/self/status") if l.startswith(name + ":"))
"""

#: what -> Python that raises unless it got out
ROWS: dict[str, str] = {
    # network
    "connect to a server on the host's loopback": "socket.create_connection(('127.0.0.1', lure['tcp']), 2)",
    "ask a name server": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
        "s.sendto(b'name?', ('127.0.0.1', lure['udp'])); assert s.recv(99) == b'answer'"
    ),
    "connect to an abstract socket": (
        "s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect('\\0' + lure['abstract'])"
    ),
    "connect to a socket in a directory": "socket.socket(socket.AF_UNIX).connect(lure['path_socket'])",
    "open a vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "open a packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "have another interface than loopback": "assert set(os.listdir('/sys/class/net')) - {'lo'}",
    # files
    "read a file of the host": "open(lure['file']).read()",
    "write a file of the host": "open(lure['file'], 'a').write('x')",
    "list a directory of the host": "os.listdir(os.path.dirname(lure['file']))",
    "read the host's password hashes": "open('/etc/shadow').read()",
    "list the home directory of the one who runs this": (
        "home, tools = lure['home'], (sys.prefix, sys.base_prefix)\n"
        "assert [n for n in os.listdir(home) if not any((t + '/').startswith(f'{home}/{n}/') for t in tools)]"
    ),
    "find the layer store": "os.listdir(lure['state'])",
    "write a tool of the host": "open('/usr/bin/env', 'ab')",
    "write the interpreter's library": "open(os.__file__, 'ab')",
    "make the tools writable": "c(libc.mount(b'none', b'/usr', None, 32 | 4096, None))",
    "write a kernel setting": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "trigger a crash": "open('/proc/sysrq-trigger', 'w')",
    "read the kernel's memory": "open('/proc/kcore', 'rb').read(1)",
    "make a disk's device": "os.mknod('disk', 0o60666, os.makedev(254, 0)); open('disk', 'rb')",
    "make a memory device": "os.mknod('mem', 0o20666, os.makedev(1, 1)); open('mem', 'rb')",
    "forge a deletion": "os.mknod('/app/forged', 0o20000, os.makedev(0, 0))",
    "hard-link a file of the host": "os.link(lure['file'], 'link')",
    "open a file by its handle": "call(304, 265, -100, ctypes.create_string_buffer(128), 0)",
    # processes and the parent's environment
    "find a variable of the host": (
        "import glob\nfound = b''\nfor p in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try: found += open(p, 'rb').read()\n    except OSError: pass\nassert lure['secret'].encode() in found"
    ),
    "signal a process of the host": "os.kill(lure['pid'], 0)",
    "see the host's processes": "assert len([p for p in os.listdir('/proc') if p.isdigit()]) > 12",
    "trace PID 1": "c(libc.ptrace(16, 1, 0, 0))",
    "trace a child": "p = subprocess.Popen(['sleep', '5']); p.kill() if libc.ptrace(16, p.pid, 0, 0) == 0 else c(p.kill() or -1)",
    "read PID 1's memory": "open('/proc/1/mem', 'rb')",
    "read PID 1's variables": "open('/proc/1/environ', 'rb').read()",
    "list PID 1's descriptors": "os.listdir('/proc/1/fd')",
    "enter PID 1's root": "os.listdir('/proc/1/root/')",
    "copy from another process' memory": "call(310, 270, 1, ctypes.create_string_buffer(16), 1, ctypes.create_string_buffer(16), 1, 0)",
    "take a descriptor of PID 1": "call(438, 438, call(434, 434, 1, 0), 0, 0)",
    "kill PID 1": "os.kill(1, signal.SIGKILL); time.sleep(0.2); raise OSError('it is alive')",
    "attach to shared memory of the host": "c(libc.shmget(lure['segment'], 1, 0))",
    # privileges
    "hold a capability": "assert int(status('CapEff'), 16) or int(status('CapPrm'), 16) or int(status('CapBnd'), 16)",
    "gain privileges by executing": "assert status('NoNewPrivs') == '0'",
    "run without a filter": "assert status('Seccomp') == '0'",
    "become somebody else": "os.setuid(12345)",
    "join another group": "os.setgroups([0, 4, 27])",
    "own a file as somebody else": "open('mine', 'w'); os.chown('mine', 12345, 12345)",
    "a setuid program of its own": (
        "import shutil\nshutil.copy('/bin/sh', 'sh'); os.chmod('sh', 0o4755)\n"
        "caps = subprocess.run(['./sh', '-p', '-c', 'grep CapEff /proc/self/status'], capture_output=True, text=True)\n"
        "assert int(caps.stdout.split()[1], 16)"
    ),
    "mount": "c(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
    "mount in the new way": "call(430, 430, b'tmpfs', 0)",
    "clone a mount": "call(428, 428, -100, b'/usr', 1)",
    "unmount": "c(libc.umount2(b'/usr', 2))",
    "change root": "os.chroot('/tmp')",
    "pivot": "call(155, 41, b'.', b'.')",
    "make a user namespace": "c(libc.unshare(0x10000000))",
    "clone into a user namespace": "call(56, 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3 into a user namespace": "call(435, 435, struct.pack('11Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)",
    "enter a namespace": "c(libc.setns(os.open('/proc/self/ns/user', os.O_RDONLY), 0))",
    # key rings, the terminal, other doors of the kernel
    "add a key": "call(248, 217, b'user', b'name', b'value', 5, -4)",
    "ask for a key": "call(249, 218, b'user', b'name', None, -4)",
    "read a key ring": "call(250, 219, 11, -4, ctypes.create_string_buffer(64), 64)",
    "type into a terminal": (
        "master, slave = os.openpty()\nif os.fork() == 0:\n"
        "    os.setsid(); fcntl.ioctl(slave, 0x540E, 0)\n"
        "    try: fcntl.ioctl(slave, 0x5412, b'x'); os._exit(0)\n    except OSError: os._exit(1)\n"
        "assert os.wait()[1] == 0"
    ),
    "type into a terminal, another way": (
        "master, slave = os.openpty()\nif os.fork() == 0:\n"
        "    os.setsid(); fcntl.ioctl(slave, 0x540E, 0)\n"
        "    try: libc.syscall.argtypes = None; c(libc.syscall(*[ctypes.c_long(n) for n in (16 if X86 else 29, slave)],"
        " ctypes.c_long((1 << 32) | 0x5412), ctypes.c_char_p(b'x'))); os._exit(0)\n    except OSError: os._exit(1)\n"
        "assert os.wait()[1] == 0"
    ),
    "load a BPF program": "call(321, 280, 0, ctypes.create_string_buffer(128), 128)",
    "open performance counters": "call(298, 241, struct.pack('II120x', 1, 128), 0, -1, -1, 0)",
    "handle page faults": "call(323, 282, 0)",
    "set up io_uring": "call(425, 425, 4, ctypes.create_string_buffer(120))",
    "read the kernel's log": "c(libc.klogctl(3, ctypes.create_string_buffer(64), 64))",
    "load a module": "call(313, 273, 0, b'', 0)",
    "load another kernel": "call(246, 104, 0, 0, 0, 0)",
    "set the clock": "time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "set the host name": "socket.sethostname('x')",
    "reboot": "call(169, 142, 0xFEE1DEAD, 672274793, 0, 0)",
    "use the calls of another architecture": "assert X86; call(0x40000000 | 39, 0)",
    # its own bounds
    "open more files than it may": "resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 19, 1 << 19))",
    "write larger files than it may": "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
    "start more processes than it may": "resource.setrlimit(resource.RLIMIT_NPROC, (-1, -1))",
    "have more processes in all": "open('/proc/sys/kernel/pid_max', 'r+')",
    "leave its control group": "import glob\nassert glob.glob('/sys/fs/cgroup/*')",
    "be spared when memory runs out": "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    "run before all others": "os.nice(-5)",
    "run in real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))",
}

#: Rows that do not work on every host either (its settings may forbid them): no baseline to compare with.
WITHOUT_BASELINE = frozenset(ROWS) - {
    "connect to a server on the host's loopback",
    "ask a name server",
    "connect to an abstract socket",
    "connect to a socket in a directory",
    "read a file of the host",
    "write a file of the host",
    "list a directory of the host",
    "find the layer store",
    "hard-link a file of the host",
    "find a variable of the host",
    "signal a process of the host",
    "see the host's processes",
    "attach to shared memory of the host",
    "gain privileges by executing",
    "trace a child",
}


@dataclass(frozen=True)
class Attempt:
    """One row, tried."""

    what: str
    held: bool
    seen: str  #: the error it ran into, or the end of what it printed


@dataclass(frozen=True)
class Lures:
    """What there is to be reached on the host."""

    tcp: int
    udp: int
    abstract: str
    path_socket: str
    file: str
    state: str
    secret: str
    home: str
    pid: int
    segment: int


@contextlib.contextmanager
def lures(scratch: Path, state: Path) -> Iterator[Lures]:
    """Put them out; `scratch` is an empty directory of the host, `state` a back-end's."""
    mark = uuid.uuid4().hex
    (scratch / "file").write_text(f"host {mark}")
    (scratch / "file").chmod(0o666)
    key = int(mark[:7], 16)
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(key, 1, 0o1666)
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.2)
        threading.Thread(target=_answer, args=(udp,), daemon=True).start()
        for name in (f"\0lure-{mark}", str(scratch / "socket")):
            server = stack.enter_context(socket.socket(socket.AF_UNIX))
            server.bind(name)
            server.listen()
        (scratch / "socket").chmod(0o777)
        sleeper = subprocess.Popen(["sleep", "600"], env={"LURE": mark})
        stack.callback(sleeper.wait)
        stack.callback(sleeper.kill)
        stack.callback(libc.shmctl, segment, 0, None)
        yield Lures(
            tcp=tcp.getsockname()[1],
            udp=udp.getsockname()[1],
            abstract=f"lure-{mark}",
            path_socket=str(scratch / "socket"),
            file=str(scratch / "file"),
            state=str(state),
            secret=mark,
            home=str(Path.home()),
            pid=sleeper.pid,
            segment=key,
        )


def program(row: str, out: Lures) -> list[str]:
    """The command that tries a row; it exits with 0 and prints "out" only if it got out."""
    text = f"{_PRELUDE}\n{ROWS[row]}\nprint('out')"
    return [sys.executable, "-I", "-S", "-c", text, json.dumps(asdict(out))]


async def attempt(kernel: Kernel, row: str, out: Lures) -> Attempt:
    """Try one row in a kernel."""
    result = await kernel.run(program(row, out), limits=Limits(wall_s=20.0, open_files=256))
    lines = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
    return Attempt(row, result.stdout.strip() != b"out", lines[-1] if lines else result.ended)


async def try_all(kernel: Kernel, out: Lures) -> AsyncIterator[Attempt]:
    """Try every row, one after the other, in one kernel."""
    for row in ROWS:
        yield await attempt(kernel, row, out)


def _answer(server: socket.socket) -> None:
    while server.fileno() >= 0:
        with contextlib.suppress(TimeoutError, OSError):
            _question, sender = server.recvfrom(99)
            server.sendto(b"answer", sender)
