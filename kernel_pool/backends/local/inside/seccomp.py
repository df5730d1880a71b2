"""A seccomp deny list as a BPF program, for x86_64 and aarch64.

A deny list is weaker than an allow list; it takes away what namespaces do not cover: new namespaces and
mounts from inside, tracing, key rings, io_uring, vsock, terminal injection. Foreign architectures are
killed, `clone3` answers ENOSYS so that libc falls back to `clone`, whose flags a filter can see. PID 1 runs as
the same user as the commands, so what one process may change of another by its number is refused for number 1.
"""

from __future__ import annotations

import errno
import platform
import struct

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

#: refused with EPERM: name -> (x86_64, aarch64); None where the architecture has no such call
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "setns": (308, 268),
    "unshare": (272, 97),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mq_open": (240, 180),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "syslog": (103, 116),
    "mbind": (237, 235),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_IOCTL = {"x86_64": 16, "aarch64": 29}
_CLONE3 = 435
#: refused when their first argument is process 1
_OF_A_PROCESS: dict[str, tuple[int, int]] = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
}
#: refused for process or group 1, and for all processes of a user: name -> (numbers, what stands for "of a user")
_OF_MANY: dict[str, tuple[tuple[int, int], int]] = {
    "setpriority": ((141, 140), 2),
    "ioprio_set": ((251, 30), 3),
}

_NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag but CLONE_NEWTIME, which clone() cannot take
_FAMILIES = (1, 2, 10, 16)  # unix, inet, inet6, netlink
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_LOAD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH_AT, _ARG0, _ARG1 = 0, 4, 16, 24


def program() -> bytes:
    """The filter for this machine, as an array of `struct sock_filter`."""
    machine = platform.machine()
    column = 0 if machine == "x86_64" else 1
    eperm = _op(_RET, _ERRNO | errno.EPERM)
    code = [
        _op(_LOAD, _ARCH_AT),
        _op(_JEQ, _ARCH[machine], 1, 0),
        _op(_RET, _KILL),
        _op(_LOAD, _NR),
    ]
    if machine == "x86_64":
        code += [_op(_JGE, _X32_BIT, 0, 1), _op(_RET, _KILL)]
    for numbers in _DENIED.values():
        if numbers[column] is not None:
            code += [_op(_JEQ, numbers[column] or 0, 0, 1), eperm]
    code += [_op(_JEQ, _CLONE3, 0, 1), _op(_RET, _ERRNO | errno.ENOSYS)]
    code += [
        _op(_JEQ, _CLONE[machine], 0, 4),
        _op(_LOAD, _ARG0),
        _op(_JSET, _NEW_NAMESPACES, 0, 1),
        eperm,
        _allow(),
    ]
    code += [_op(_JEQ, _SOCKET[machine], 0, 3 + len(_FAMILIES)), _op(_LOAD, _ARG0)]
    code += [_op(_JEQ, family, len(_FAMILIES) - place, 0) for place, family in enumerate(_FAMILIES)]
    code += [eperm, _allow()]
    code += [_op(_JEQ, _IOCTL[machine], 0, 4), _op(_LOAD, _ARG1)]
    code += [_op(_JEQ, _TERMINAL_INJECTION[0], 1, 0), _op(_JEQ, _TERMINAL_INJECTION[1], 0, 1), eperm]
    for pair in _OF_A_PROCESS.values():
        code += [_op(_JEQ, pair[column], 0, 4), _op(_LOAD, _ARG0), _op(_JEQ, 1, 0, 1), eperm, _allow()]
    for pair, of_a_user in _OF_MANY.values():
        code += [_op(_JEQ, pair[column], 0, 6), _op(_LOAD, _ARG0), _op(_JEQ, of_a_user, 2, 0)]
        code += [_op(_LOAD, _ARG1), _op(_JEQ, 1, 0, 1), eperm, _allow()]
    code.append(_allow())
    return b"".join(code)


def _op(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, k)


def _allow() -> bytes:
    return _op(_RET, _ALLOW)
