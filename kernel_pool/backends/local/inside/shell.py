"""A shell whose state outlives the process: saved text goes in, the command runs, new text comes out.

The text is bash's own description of itself (`declare -p`, `declare -f`, `shopt -p`, ...). It is written by
whatever ran in the kernel, so it is opaque here and only ever evaluated inside a kernel.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

#: descriptors the shell finds open, each a small file in memory
(
    PROLOGUE_FD,  # sourced first: restores the state, sets what holds for this command
    RESTORE_FD,  # the state to restore
    SAVE_FD,  # sourced last: writes the state to STATE_FD
    STATE_FD,
    SAVE_PRISTINE_FD,  # the same before anything was restored, to PRISTINE_FD
    PRISTINE_FD,
    COMMAND_FD,  # the command, when it is too long for an argument
) = range(192, 199)

MAX_STATE = 256 * 1024  #: bytes; a larger state is not kept
_MAX_ARGUMENT = 100_000  #: bytes; Linux takes at most 128 KiB in one argument

# `$1` tells the EXIT trap that it has been done; `>|` because of noclobber. Options of `shopt` come first
# (extglob changes how functions are read), variables after `cd` (which sets two), aliases after the functions (or they would be expanded in them),
# `set` options last (errexit must not see any of this).
_SAVE = (
    'set -- saved "$?"\n'
    '{ builtin printf "builtin cd -- %q\\n" "$PWD"; shopt -p; builtin echo "# variables"; declare -p;'
    ' builtin echo "# functions"; declare -f; declare -Fx; umask -p;'
    " alias -p; set +o; } 2>/dev/null >|/dev/fd/FD\n"
    'return "$2"\n'
)
SAVE_TEXT = _SAVE.replace("FD", str(STATE_FD)).encode()
SAVE_PRISTINE_TEXT = _SAVE.replace("FD", str(PRISTINE_FD)).encode()

_AT_EXIT = f"trap '[ \"${{1-}}\" = saved ] || {{ . /dev/fd/{SAVE_FD}; }} 2>/dev/null' EXIT"

#: Lines between the parts. Before the second, no line can be anything else: bash quotes line ends in variables.
_VARIABLES, _FUNCTIONS = b"\n# variables\n", b"\n# functions\n"

#: What differs in every process and is no state: bash's own counters and read-only facts.
_VOLATILE = re.compile(
    rb"^declare -\S+ (?:BASH|BASHOPTS|BASHPID|BASH_(?!ENV\b)[A-Z0-9_]+|DIRSTACK|EPOCHREALTIME|EPOCHSECONDS|EUID"
    rb"|FUNCNAME|GROUPS|HISTCMD|HOSTNAME|HOSTTYPE|LINENO|MACHTYPE|OPTERR|OPTIND|OSTYPE|PIPESTATUS|PPID|RANDOM"
    rb"|SECONDS|SHELLOPTS|SHLVL|SRANDOM|UID|_)(?:=.*)?\n",
    re.MULTILINE,
)


def prologue(*, env: dict[str, str], cwd: str | None, restore: bool, learn_pristine: bool) -> bytes:
    """What the shell sources before the command. `env` is exported for this command only."""
    lines = ["shopt -s expand_aliases"]
    if learn_pristine:
        lines.append(f". /dev/fd/{SAVE_PRISTINE_FD}; set --")
    if restore:
        lines.append(f". /dev/fd/{RESTORE_FD} 2>/dev/null")
    lines += [f"builtin export {name}={shlex.quote(value)}" for name, value in env.items()]
    if cwd is not None:
        lines.append(f"builtin cd -- {shlex.quote(cwd)} || builtin exit 1")
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def arguments(command: str) -> tuple[list[str], bytes]:
    """argv for bash, and the text for COMMAND_FD when the command is too long for an argument."""
    encoded = command.encode("utf-8", "surrogateescape")
    long = len(encoded) > _MAX_ARGUMENT
    evaluate = f". /dev/fd/{COMMAND_FD}" if long else f"eval {shlex.quote(command)}"
    # One line, so that the line numbers in bash's messages are those of the command.
    script = f"{_AT_EXIT}; . /dev/fd/{PROLOGUE_FD}; {evaluate}\n{{ . /dev/fd/{SAVE_FD}; }} 2>/dev/null"
    return ["bash", "--norc", "--noprofile", "-c", script, "bash"], encoded if long else b""


def canonical_state(saved: bytes, temporary: Iterable[str] = (), before: bytes = b"") -> bytes | None:
    """The saved text without what differs from process to process; None when it cannot be kept.

    `temporary` variables are put back to what they were in the text `before`.
    """
    parts = _parts(saved)
    if parts is None:
        return None  # not written by `_SAVE`, or cut off
    options, variables, functions = parts
    variables = _VOLATILE.sub(b"", variables)
    earlier_variables = (_parts(before) or (b"", b"", b""))[1]
    for name in temporary:
        line = re.compile(rb"^declare -\S+ " + re.escape(name.encode()) + rb"(?:=.*)?\n", re.MULTILINE)
        earlier = line.search(earlier_variables)
        kept = earlier.group() if earlier else b""
        found = line.search(variables)
        if found:
            variables = variables[: found.start()] + kept + variables[found.end() :]
    text = options + _VARIABLES[1:] + variables + _FUNCTIONS[1:] + functions
    if len(text) > MAX_STATE:
        return None
    try:
        text.decode()
    except UnicodeDecodeError:
        return None
    return text


def _parts(text: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Options, variables, and functions with the rest; each ends with a line end, or is empty."""
    options, begun, rest = text.partition(_VARIABLES)
    variables, ended, functions = (b"\n" + rest).partition(_FUNCTIONS)
    if not (begun and ended):
        return None
    return options + b"\n", variables[1:] + b"\n" if variables else b"", functions
