"""What the local back-end promises on this machine: which mechanism holds each limit, and what is weaker for it."""

from __future__ import annotations

import os

from ...kernel import Network
from . import machine
from .cgroups import Tier


def mechanisms(tier: Tier | None) -> dict[str, str]:
    """Field of `Limits` -> what holds it."""
    return {
        "wall_s": "PID 1 of the kernel",
        "cpu_s": tier.name if tier else "PID 1, by the CPU time of every process, forty times a second",
        "memory_mb": tier.name if tier else "PID 1, by the memory of every process, forty times a second",
        "processes": f"{tier.name} and RLIMIT_NPROC"
        if tier
        else "RLIMIT_NPROC in a user namespace of its own",
        "disk_mb": "PID 1, by measuring the kernel's changes, ten times a second at most",
        "output_bytes": "PID 1 of the kernel",
        "file_mb": "RLIMIT_FSIZE",
        "open_files": "RLIMIT_NOFILE",
    }


def notes(tier: Tier | None, network: Network) -> tuple[str, ...]:
    """What is weaker than it could be, and the mend where there is one."""
    found = []
    if tier is None:
        found.append(
            "memory and processes are watched, not bounded by cgroups: a command can pass memory_mb by what it "
            f"takes within a fortieth of a second, and hide CPU time in children that live shorter; {_mend()}"
        )
    found.append(
        "disk_mb is measured, not bounded by the file system: a command can pass it by what it writes within a "
        "tenth of a second, while its many files are counted, or into deleted files that are only in flight between "
        "processes; a hole in a file counts an eighth of its size"
    )
    if network == "host":
        found.append(
            "commands have this machine's network: its loopback servers, its abstract sockets, all it can reach"
        )
    found += [
        "kernels share the host's Linux kernel: a fault in it is a way out; a microVM (e2b) has one of its own",
        "kernels are one user to the machine and share what it counts per user, such as descriptors in flight",
        "POSIX ACLs, and the mode and attributes of / itself, are no part of a state",
        "the links to tools in / (bin, lib, ...) and /etc/ld.so.* and /etc/python* are no part of a state either: a "
        "fork, and so a verifier, has the base's",
        "a shell whose variables and functions take more than 256 KiB is not carried over to the next command",
        "renaming a directory that came with the base answers EXDEV; mv copes, `git mv` of one does not",
        "hard links come with a fork as one file; writing through one name then parts it from the others, and the "
        "link count that programs see is the layer store's",
        f"tools are this machine's own, read-only: {', '.join(machine.system_directories())}",
    ]
    return tuple(found)


def _mend() -> str:
    if os.geteuid() == 0:
        return "mount a cgroup hierarchy with the memory and pids controllers writable"
    return "start it with `systemd-run --user --scope -p Delegate=yes`, or as root"
