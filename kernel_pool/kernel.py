"""What a kernel is: one sandbox with a file tree, a shell and limits, that can be frozen and forked.

Read this file first. Everything else in the package is an implementation of these protocols
(`backends/`), the bound on how many exist (`pool.py`), or the contract they all pass (`selfcheck.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

#: How a command ended. Everything but "exited" and "signalled" names the limit that ended it, or a cancellation.
Ended = Literal["exited", "signalled", "timeout", "cpu", "oom", "pids", "disk", "output", "cancelled"]

#: The network that commands have: their own loopback and nothing else, or the host's.
Network = Literal["none", "host"]

#: What a fork restores: files only, files and the shell's environment, or the memory of processes as well.
Restores = Literal["files", "files+env", "memory"]

#: Images: this machine's own tools stand in for them, they are run by name, or built from a Dockerfile as well.
Images = Literal["none", "named", "built"]

#: Called with (stream, bytes) as a command prints; stream is "stdout" or "stderr".
OutputSink = Callable[[Literal["stdout", "stderr"], bytes], None]


#: field of `Limits` -> the least that it can be
_LEAST = {
    **{"wall_s": 0.001, "cpu_s": 0.001, "memory_mb": 16, "processes": 2, "disk_mb": 1, "output_bytes": 1},
    **{"file_mb": 1, "open_files": 16},
}


@dataclass(frozen=True)
class Limits:
    """Bounds on one command. Each ends that command alone, under the name in brackets; the kernel goes on."""

    wall_s: float = 60.0  #: seconds of wall time ["timeout"]
    cpu_s: float | None = None  #: seconds of CPU time, all processes together; None: not bounded ["cpu"]
    memory_mb: int = 1024  #: MiB of memory, all processes together ["oom"]
    processes: int = 256  #: processes and threads ["pids"]
    disk_mb: int = 4096  #: MiB that the kernel's changes may take on disk ["disk"]
    output_bytes: int = 8 * 1024 * 1024  #: stdout and stderr together ["output"]
    file_mb: int = 256  #: MiB of the largest file; a process that writes beyond it gets SIGXFSZ or EFBIG
    open_files: int = 1024  #: file descriptors a process may hold; beyond it gets EMFILE

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                raise ValueError(f"limit {name}: {value} is not possible; at least {least:g}, and finite")

    def with_wall(self, wall_s: float) -> Limits:
        """The same limits with another wall time (seconds)."""
        return replace(self, wall_s=wall_s)


@dataclass(frozen=True)
class ExecResult:
    """The outcome of one command. A non-zero exit, a timeout or an output flood is a result, not an error."""

    exit_code: int | None  #: None unless `ended` is "exited"
    stdout: bytes
    stderr: bytes
    wall_s: float  #: seconds from start to end
    ended: Ended = "exited"
    signal: int | None = None  #: the signal's number when `ended` is "signalled"
    warm: bool = False  #: the command was served by a preloaded interpreter (same result, less start-up)

    @property
    def ok(self) -> bool:
        """It ran to its end and exited with 0."""
        return self.ended == "exited" and self.exit_code == 0


@dataclass(frozen=True)
class FileInfo:
    """One entry of a directory listing (no link is followed)."""

    path: str  #: relative to the directory that was listed
    kind: Literal["file", "dir", "symlink", "other"]
    size: int  #: bytes
    mode: int  #: permission bits


@dataclass(frozen=True)
class Snapshot:
    """A frozen state: a base and the layers above it, named by content.

    Two snapshots with equal `digest` hold the same files and the same shell environment.
    A `Snapshot` is plain data: it can be pickled and sent to another process of the same node.
    """

    backend: str  #: the back-end's registered name
    base: str  #: digest of the base the layers stand on
    layers: tuple[str, ...] = ()  #: digests of the layers, lowest first
    env: str = ""  #: the shell's saved state (cwd, variables, functions), restored by a fork; untrusted text
    digest: str = ""  #: sha256 over all of the above

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", snapshot_digest(self.base, self.layers, self.env))


def snapshot_digest(base: str, layers: Sequence[str], env: str) -> str:
    """The digest of a state: sha256 over the base digest, the ordered layer digests and the saved shell."""
    from hashlib import sha256

    text = "\0".join([base, *layers, sha256(env.encode("utf-8", "surrogateescape")).hexdigest()])
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class CopyIn:
    """Put a file or directory of the host into a base. Links inside it are copied as links, never followed."""

    source: Path
    target: str  #: absolute path inside the kernel; a directory's content is merged into it


@dataclass(frozen=True)
class RunStep:
    """Run a shell command inside the kernel while the base is being built."""

    command: str
    limits: Limits = field(default_factory=lambda: Limits(wall_s=600.0))


@dataclass(frozen=True)
class ReadOnlyMount:
    """A directory of the host laid over a path of the kernel, where nothing inside can change it."""

    source: Path
    target: str  #: absolute path inside the kernel


@dataclass(frozen=True)
class BaseSpec:
    """How to build the state that everything forks from.

    `image` is a name the back-end understands; "" and plain Debian or Python images mean, for the local
    back-end, this machine's own tools. A back-end with `Capabilities.images` "built" builds `dockerfile`, with its
    directory as context, in place of `image` and `steps`, which say the same as far as they can; `env` and
    `workdir` hold in either case.
    """

    image: str = ""
    workdir: str = "/app"
    env: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[CopyIn | RunStep, ...] = ()
    dockerfile: Path | None = None


@dataclass(frozen=True)
class Capabilities:
    """What a back-end gives, as it is in force on this machine, not as it was hoped for."""

    isolated: bool  #: commands cannot reach the host's files, processes or (with network "none") network
    restores: Restores
    network: Network
    enforces: Mapping[str, str]  #: field of `Limits` that really holds -> the mechanism that holds it
    notes: tuple[str, ...] = ()  #: what is weaker here, why, and the mend if there is one; one sentence each
    images: Images = "none"  #: what `BaseSpec.image` and `BaseSpec.dockerfile` mean to it


class Kernel(Protocol):
    """One live sandbox. Use from one task at a time; every method raises `KernelClosed` once it is gone."""

    @property
    def id(self) -> str:
        """A name that is unique among all kernels of all processes on this machine."""
        ...

    async def run(
        self,
        command: str | Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        limits: Limits | None = None,
        on_output: OutputSink | None = None,
    ) -> ExecResult:
        """Run one command to its end.

        A `str` runs in the kernel's shell (bash): the working directory, variables, functions and aliases
        it leaves are there for the next string. A sequence is executed as it is, in the base's own
        environment and working directory, untouched by anything a shell command left behind.
        Processes still alive when the command ends are killed. Cancelling the call kills the command and
        leaves the kernel usable.
        """
        ...

    async def read(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes:
        """Content of a regular file (relative paths: from the base's workdir). Raises `FileAccessError`."""
        ...

    async def write(self, path: str, data: bytes, *, mode: int = 0o644) -> None:
        """Write a file, making its directories. Raises `FileAccessError`."""
        ...

    async def list(self, path: str = ".", *, depth: int = 1, max_entries: int = 10_000) -> list[FileInfo]:
        """Entries below a directory down to `depth`, sorted by path. Raises `FileAccessError`."""
        ...

    async def snapshot(self) -> Snapshot:
        """Freeze the present state. The kernel goes on and may change; the snapshot does not.

        Nothing changed since the last one: the same snapshot again.
        """
        ...

    async def healthy(self) -> bool:
        """Whether the kernel answers and is in a state in which commands can run."""
        ...

    async def close(self) -> None:
        """End every process of the kernel and free what it holds. Idempotent."""
        ...


class Backend(Protocol):
    """A way to make kernels. One instance serves one process; close it when done."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What is in force on this machine."""
        ...

    async def check(self) -> None:
        """Find out whether it can work here at all, by doing it. Raises `BackendUnavailable` with the mend."""
        ...

    async def prepare(self, spec: BaseSpec) -> Snapshot:
        """Build a base (or find it built: equal specs with equal sources are built once a node).

        Raises `KernelError` with the failing step and its output when a step fails.
        """
        ...

    async def start(
        self,
        snapshot: Snapshot,
        *,
        limits: Limits | None = None,
        mounts: Sequence[ReadOnlyMount] = (),
    ) -> Kernel:
        """A new kernel whose state is the snapshot's. `limits` are the kernel's defaults for `run`.

        Mounts hide whatever the snapshot has at their targets and are no part of later snapshots.
        """
        ...

    async def export(self, snapshot: Snapshot, target: Path) -> None:
        """Write the layers above the base as one OCI-style layer tar (deletions as `.wh.` entries)."""
        ...

    async def load(self, base: Snapshot, archive: Path, *, env: str = "") -> Snapshot:
        """The state `base` plus an exported archive. The archive is untrusted and unpacked inside a kernel."""
        ...

    async def reap(self) -> int:
        """Remove what processes that were killed left behind here; how many kernels it was. Safe beside living ones."""
        ...

    async def close(self) -> None:
        """End all kernels of this instance. Idempotent."""
        ...
