"""What runs inside a container: PID 1, and the scripts that carry out one request each.

Only bash is needed, and coreutils for what is not `run`. A request is a script on the stdin of `bash`, followed by its data; the answer
is what it prints, and then on stderr `<mark><answer>`, the mark being random for every request. A command that
forges an answer, or replaces the programs used here, deceives about its own kernel only.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...kernel import Limits
from ..local.inside import shell

#: A directory in memory for descriptors of the shell; no snapshot has it.
PRIVATE = "/run/rollout-fork"
#: Printed on stderr when a command is about to start: what takes the engine to get there is not its time.
STARTED = b"\1"

# PID 1. `kill -9 -1` from there ends everything else in the container and needs no new process, so it works when
# no more processes can be made. The signals it could be talked to by are ignored.
_INIT = (
    "trap '' HUP INT QUIT TERM USR2 ALRM PIPE TSTP TTIN TTOU XCPU XFSZ VTALRM PROF IO PWR STKFLT; "
    "trap 'kill -9 -1' USR1; exec 3<> <(:); while :; do read -r -u 3 _; done 2>/dev/null"
)
INIT = ["bash", "--norc", "--noprofile", "-p", "-c", _INIT]

# The first thing a request does is to read the rest of itself: characters are bytes in this locale.
_BOOT = 'LC_ALL=C IFS= read -r -N "$1" script; eval "$script"'

_COMMON = f"""
d={PRIVATE}
exec 7<&0 8<> <(:) 9>&2 2>/dev/null
answer() {{ printf '%s%s' @MARK@ "$1" >&9; exit 0; }}
counters() {{
  local f name value
  oom=0 forks=0 cpu=0
  for f in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
    [ -r $f ] && while read -r name value; do [ "$name" = oom_kill ] && oom=$value; done <$f
  done
  for f in /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids/pids.events; do [ -r $f ] && read -r name forks <$f; done
  if [ -r /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then
    read -r cpu </sys/fs/cgroup/cpuacct/cpuacct.usage; cpu=$((cpu / 1000))
  elif [ -r /sys/fs/cgroup/cpu.stat ]; then
    while read -r name value; do [ "$name" = usage_usec ] && cpu=$value; done </sys/fs/cgroup/cpu.stat
  fi
}}
sweep() {{
  local f t others
  for ((t = 0; t < 300; t++)); do
    builtin kill -9 -1
    others=
    for f in /proc/[0-9]*; do case ${{f#/proc/}} in 1|$$) ;; *) others=1; break ;; esac; done
    [ "$others" ] || return
    read -r -t 0.01 -u 8
  done
}}
"""

# Ends everything that was left, and tells what the limits of the container have counted.
SETTLE = _COMMON + 'sweep; counters; answer "$oom $forks"\n'

# `wait` gives 137 for a killed child as for one that exits with 137; only `jobs` tells them apart, and only until
# it has been waited for. Hence job control and the trap.
_RUN = (
    _COMMON
    + """
how= over=
receive() { local text; (($1)) && LC_ALL=C IFS= read -r -N "$1" -u 7 text; printf %s "$text" >"$2"; }
tell() { local text; [ -f "$1" ] && LC_ALL=C IFS= read -r -N 300000 text <"$1"; printf %s "$text" >&9; }
trap over=1 USR1
look() { how=; while read -r _ n w _; do [ "$n" = "$p" ] && how=$w; done <"$d/jobs"; }
rm -rf -- "$d"/* "$d"/.[!.]*
@RECEIVE@
counters; cpu0=$cpu
watch() {
  while read -r -t 0.1 -u 8 || :; do
    counters
    if ((oom > @OOM@ || forks > @FORKS@ || (@CPU@ > 0 && cpu - cpu0 > @CPU@))); then kill -USR1 $$; return; fi
  done
}
: >"$d/jobs"
trap 'LC_ALL=C jobs -l >>"$d/jobs"' CHLD
set -m
watch 9>&- 7<&- &
printf '\\1' >&9
(
  exec 2>&9 9>&- 8>&- 7<&-
  trap - CHLD USR1
  { echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
  @ENTER@
  @LIMITS@
  @EXPORT@
  exec -- @ARGV@
) @STREAMS@ &
p=$!
while :; do
  wait "$p"; code=$?
  look
  [ "$over" ] && break
  case $how in Stopped*|Running*) read -r -t 0.1 -u 8 ;; *) break ;; esac
done
trap - CHLD
sweep
counters
printf '%s%s %s %s %s %s\\n' @MARK@ "$code" "${how:--}" "$oom" "$forks" "$((@CPU@ > 0 && cpu - cpu0 > @CPU@))" >&9
tell "$d/@PRISTINE@"; printf '\\0' >&9; tell "$d/@STATE@"
exit 0
"""
)

_READ = (
    _COMMON
    + """
LC_ALL=C; f=@PATH@
[ -e "$f" ] || answer absent
[ -f "$f" ] || answer 'not a file'
{ head -c @MOST@ <"$f"; } 2>/dev/null || answer denied
answer ok
"""
)

_WRITE = (
    _COMMON
    + """
LC_ALL=C; f=@PATH@; p=${f%/*}; [ "$p" ] || p=/
why() {
  case $1 in
    *Read-only*|*ermission\\ denied*|*not\\ permitted*) answer denied ;;
    *Not\\ a\\ directory*|*File\\ exists*|*s\\ a\\ directory*) answer 'not a file' ;;
    *) answer "${1##*: }" ;;
  esac
}
[ -e "$f" ] && [ ! -f "$f" ] && answer 'not a file'
[ -d "$p" ] || e=$(mkdir -p -- "$p" 2>&1) || why "$e"
e=$( { head -c @SIZE@ <&7 >"$f"; } 2>&1 ) || why "$e"
e=$(chmod @MODE@ -- "$f" 2>&1) || why "$e"
answer ok
"""
)

# Names below the directory, parents first, each directory in the order of its bytes.
_LIST = (
    _COMMON
    + """
LC_ALL=C; f=@PATH@
[ -e "$f" ] || answer absent
[ -d "$f" ] || answer 'not a file'
cd -- "$f" || answer denied
shopt -s nullglob dotglob
found=()
walk() {
  local p
  for p in "$1"*; do
    ((${#found[@]} < @MOST@)) || return
    found+=("./$p")
    if (($2 > 1)) && [ -d "$p" ] && [ ! -L "$p" ]; then walk "$p/" $(($2 - 1)); fi
  done
}
walk '' @DEPTH@
for ((i = 0; i < ${#found[@]}; i += 200)); do stat --printf '%f %s %n\\0' -- "${found[@]:i:200}"; done
answer ok
"""
)


# A path that ends with a slash means everything in that directory.
_REMOVE = (
    _COMMON
    + """
mapfile -d '' -t gone < <(head -c @SIZE@ <&7)
cd / && shopt -s nullglob dotglob
for p in "${gone[@]}"; do case $p in */) rm -rf -- "$p"* ;; *) rm -rf -- "$p" ;; esac || answer "$p"; done
answer ok
"""
)


@dataclass(frozen=True)
class Request:
    """One request: the script, its data, and what announces its answer."""

    mark: bytes
    script: bytes
    data: bytes = b""

    @property
    def argv(self) -> list[str]:
        """What the engine is asked to execute."""
        return ["bash", "--norc", "--noprofile", "-p", "-c", _BOOT, "bash", str(len(self.script))]


@dataclass(frozen=True)
class Command:
    """One command for `run`, and what holds for it."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    limits: Limits
    stdin: bytes = b""
    files: Mapping[int, bytes] | None = None  #: descriptors of the shell
    counted: tuple[int, int] = (0, 0)  #: kills for want of memory, refused forks so far

    def request(self) -> Request:
        """Its script and data."""
        receive, streams = [], []
        data = b""
        for number, content in (self.files or {}).items():
            receive.append(f'receive {len(content)} "$d/{number}"')
            streams.append(f'{number}{">" if number in _WRITTEN else "<"}"$d/{number}"')
            data += content
        source = f"<(head -c {len(self.stdin)} <&7)" if self.stdin else "/dev/null"
        return request(
            _RUN,
            data + self.stdin,
            RECEIVE="\n".join(receive).encode(),
            STREAMS=" ".join([f"0< {source}", *streams]).encode(),
            OOM=self.counted[0],
            FORKS=self.counted[1],
            CPU=int((self.limits.cpu_s or 0) * 1_000_000),
            ENTER=b"cd -- "
            + quoted(self.cwd)
            + (b" || exit 1" if self.files is None else b" 2>/dev/null || cd /"),
            LIMITS=f"ulimit -f {self.limits.file_mb * 1024} -n {self.limits.open_files} -c 0".encode(),
            EXPORT=b"\n".join(b"export " + quoted(f"{name}={value}") for name, value in self.env.items()),
            ARGV=b" ".join(map(quoted, self.argv)),
            PRISTINE=shell.PRISTINE_FD,
            STATE=shell.STATE_FD,
        )


_WRITTEN = (shell.STATE_FD, shell.PRISTINE_FD)


def read(path: str, most: int) -> Request:
    """The first `most` bytes of a file on stdout. Answers "ok" or the reason of a refusal."""
    return request(_READ, PATH=quoted(path), MOST=most)


def write(path: str, data: bytes, mode: int) -> Request:
    """Make a file. Answers "ok" or the reason of a refusal."""
    return request(_WRITE, data, PATH=quoted(path), SIZE=len(data), MODE=f"{mode:o}".encode())


def listing(path: str, depth: int, most: int) -> Request:
    """Mode (hex), size and "./name" of each entry on stdout, NUL after each. Answers "ok" or a reason."""
    return request(_LIST, PATH=quoted(path), DEPTH=depth, MOST=most)


def remove(paths: Sequence[str]) -> Request:
    """Delete paths (relative to /, or absolute). Answers "ok" or the first that could not be deleted."""
    data = b"".join(os.fsencode(path) + b"\0" for path in paths)
    return request(_REMOVE, data, SIZE=len(data))


def directory(path: str) -> Request:
    """Make a directory and those above it. Answers "ok" or what was wrong."""
    return script('e=$(mkdir -p -- @PATH@ 2>&1) || answer "$e"\nanswer ok\n', PATH=quoted(path))


def script(text: str, **values: bytes) -> Request:
    """A few lines of bash of our own; they end with `answer TEXT`."""
    return request(_COMMON + text, b"", **values)


def request(template: str, data: bytes = b"", **values: bytes | int) -> Request:
    """Fill in a template."""
    mark = os.urandom(16).hex().encode()
    known = {"MARK": mark} | {n: v if isinstance(v, bytes) else str(v).encode() for n, v in values.items()}
    # In one pass: what is filled in may itself look like a place to fill in.
    text = re.sub(rb"@([A-Z]+)@", lambda found: known[found[1].decode()], template.encode())
    return Request(mark, text, data)


def quoted(text: str) -> bytes:
    """One word of a script. Text holds any byte but NUL (as `os.fsencode` takes it)."""
    return os.fsencode(shlex.quote(text))


def can_be_passed(*texts: str) -> bool:
    """Whether a program can be given these at all: no NUL, no lone surrogate."""
    try:
        return not any(b"\0" in os.fsencode(text) for text in texts)
    except UnicodeEncodeError:
        return False
