"""The part of a Dockerfile that every back-end can honour: FROM, WORKDIR, COPY, ENV, RUN.

Anything else is refused with its line, except what only matters to Docker (CMD, EXPOSE, LABEL): that is
noted. COPY reads from the task's `environment/` directory and never leaves it, through links neither.
"""

from __future__ import annotations

import fnmatch
import json
import posixpath
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kernel_pool import CopyIn, RunStep
from kernel_pool.kernel import Images

from .errors import TaskProblem

#: Base images whose place this machine's own tools can take.
PLAIN_IMAGE = re.compile(
    r"^(docker\.io/)?(library/)?(debian|ubuntu|python)(:[\w.-]+)?(@sha256:[0-9a-f]{64})?$"
)
DEFAULT_WORKDIR = "/app"
_NOTED = {"CMD", "EXPOSE", "LABEL"}
_REFUSED = {
    "ADD": "use COPY with a file in environment/",
    "ARG": "write the value where it is used",
    "USER": "commands run as the sandbox's own user",
    "ENTRYPOINT": "the agent's commands start from a shell",
    "VOLUME": "the whole file tree is kept anyway",
    "SHELL": "RUN uses sh -c",
    "HEALTHCHECK": "there is no service to check",
    "ONBUILD": "nothing builds on this image",
}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Where this machine's own python and pytest are, which stand in for those of a plain image.
TOOLS = str(Path(sys.executable).parent)
_VARIABLE = re.compile(r"\\(.)|\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))|\$")
_ESCAPE = re.compile(r"^\s*#\s*escape\s*=", re.IGNORECASE)
_LITERAL = re.compile(r"""(?:^|[\s=])'[^']*\$""")  # a variable in single quotes, which Docker leaves alone
_HEREDOC = re.compile(r"<<-?[\"']?[A-Za-z_]")


@dataclass
class Environment:
    """What a Dockerfile asks for, as far as it was understood."""

    image: str = ""
    workdir: str = DEFAULT_WORKDIR
    env: dict[str, str] = field(default_factory=dict)
    steps: list[CopyIn | RunStep] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[TaskProblem] = field(default_factory=list)


def read_dockerfile(path: Path, text: str, *, images: Images = "none") -> Environment:
    """Understand a Dockerfile. `path` is where it stands; its directory is what COPY reads from.

    Problems are in the result, one per line that cannot be honoured. With `images` other than "none" every
    base image is accepted; with "built" nothing is a problem, for the back-end builds the file itself.
    """
    made = _Reader(path, images).read(text)
    if images == "built":
        made.problems.clear()
        made.notes.append("the Dockerfile is built by the back-end, as it is")
    return made


class _Refused(Exception):
    """An instruction that cannot be honoured."""


class _Reader:
    def __init__(self, path: Path, images: Images) -> None:
        self.path, self.context, self.images = path, path.parent, images
        self.out = Environment()
        self.workdir = "/"  # Docker's own default, for relative paths before any WORKDIR
        self.directories = {"/"}
        self.runs: list[tuple[int, str, str, dict[str, str]]] = []

    def read(self, text: str) -> Environment:
        seen_from = False
        if _ESCAPE.match(text):
            self.out.problems.append(TaskProblem(self.path, 1, "another escape character is not understood"))
            return self.out
        if (self.context / ".dockerignore").exists():
            self.out.notes.append("environment/.dockerignore is not used: COPY takes what it names")
        for line, word, rest in _instructions(text):
            try:
                if "\0" in rest:
                    raise _Refused(f"{word} holds a NUL character")
                if word == "FROM":
                    if seen_from:
                        raise _Refused("a second FROM (multi-stage builds are not understood)")
                    seen_from = True
                    self._from(rest)
                elif not seen_from:
                    raise _Refused(f"{word} before FROM")
                else:
                    self._instruction(word, rest)
            except (_Refused, OSError) as reason:
                self.out.problems.append(TaskProblem(self.path, line, str(reason)))
        if not seen_from:
            self.out.problems.append(TaskProblem(self.path, None, "has no FROM"))
        if self.workdir == "/":
            self.out.notes.append(f"the Dockerfile sets no WORKDIR: commands run in {DEFAULT_WORKDIR}")
        else:
            self.out.workdir = self.workdir
        self._finish_runs()
        return self.out

    def _instruction(self, word: str, rest: str) -> None:
        if word == "WORKDIR":
            self.workdir = posixpath.normpath(posixpath.join(self.workdir, self._expand(rest.strip("\"'"))))
            self.directories.add(self.workdir)
        elif word == "ENV":
            self._env(rest)
        elif word == "COPY":
            self._copy(rest)
        elif word == "RUN":
            self._run(rest)
        elif word in _NOTED:
            self.out.notes.append(f"Dockerfile {word} is not used")
        else:
            mend = _REFUSED.get(word)
            raise _Refused(f"{word} is not understood" + (f": {mend}" if mend else ""))

    def _from(self, rest: str) -> None:
        words = rest.split()
        if len(words) != 1:
            raise _Refused("FROM takes one image here (no --platform, no AS)")
        image = words[0]
        self.out.image = image
        if PLAIN_IMAGE.match(image):
            self.out.notes.append(
                f"image {image}: a back-end without images uses this machine's own tools in its place"
            )
        elif self.images != "none":
            self.out.notes.append(f"image {image}: needs a back-end that runs images")
        else:
            raise _Refused(
                f"image {image} is not a plain debian, ubuntu or python one, which is all that can be stood in for"
            )

    def _env(self, rest: str) -> None:
        if _LITERAL.search(rest):
            raise _Refused("ENV with $ in single quotes is not understood: write \\$ without them")
        # Docker replaces with the values from before the line, for all of it
        self.out.env |= {name: self._expand(value) for name, value in _pairs(rest)}

    def _run(self, rest: str) -> None:
        if _HEREDOC.search(rest):
            raise _Refused("RUN with a here-document is not understood; put the script into environment/")
        if rest.startswith("--"):
            raise _Refused(f"RUN {rest.split(maxsplit=1)[0]} is not understood")
        words = _json_words(rest)
        command = shlex.join(words) if words is not None else rest
        self.runs.append((len(self.out.steps), command, self.workdir, dict(self.out.env)))
        self.out.steps.append(RunStep(command))

    def _finish_runs(self) -> None:
        """Each RUN in the directory and with the variables of its place; the base has only the last ones."""
        for position, command, workdir, env in self.runs:
            differing = {k: v for k, v in self.out.env.items() if env.get(k) != v}
            undo = [part for name in differing if name not in env for part in ("-u", name)]
            now = [f"{name}={env[name]}" for name in differing if name in env]
            prefix = shlex.join(["env", *undo, *now]) + " " if differing else ""
            where = shlex.quote(workdir)
            there = "cd /" if workdir == "/" else f"mkdir -p {where} && cd {where}"
            self.out.steps[position] = RunStep(f"{there} && {prefix}sh -c {shlex.quote(command)}")

    def _copy(self, rest: str) -> None:
        words = _json_words(rest)
        if words is None:
            try:
                words = shlex.split(rest)
            except ValueError as error:
                raise _Refused(f"COPY cannot be read ({error})") from None
        while words and words[0].startswith("--"):
            flag = words.pop(0)
            if not flag.startswith("--chown="):
                raise _Refused(f"COPY {flag.partition('=')[0]} is not understood")
            self.out.notes.append(f"COPY {flag} is not used: files belong to the sandbox's own user")
        if any(word.startswith("<<") for word in words):
            raise _Refused("COPY with a here-document is not understood")
        if len(words) < 2:
            raise _Refused("COPY needs a source and a target")
        *patterns, target = [self._expand(word) for word in words]
        sources = [found for pattern in patterns for found in self._sources(pattern)]
        place = posixpath.normpath(posixpath.join(self.workdir, target))
        into = target.endswith(("/", "/.")) or target in (".", "..") or place in self.directories
        if len(sources) > 1 and not into:
            raise _Refused(f"COPY of several files needs a target that ends in /, not {target}")
        for source in sources:
            if source.is_dir():
                self.out.steps.append(CopyIn(source, place))
                self.directories.add(place)
            else:
                self.out.steps.append(CopyIn(source, posixpath.join(place, source.name) if into else place))
        if into:
            self.directories.add(place)

    def _sources(self, pattern: str) -> list[Path]:
        """What a COPY source names below the context, links excluded on the way."""
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise _Refused(f"COPY {pattern} leaves environment/")
        found = [self.context]
        for part in parts:
            found = [path for parent in found for path in _matching(parent, part)]
        if not found:
            raise _Refused(f"COPY {pattern}: there is no such file in {self.context.name}/")
        for path in found:
            between = [path, *path.parents][: len(path.relative_to(self.context).parts)]
            if any(step.is_symlink() for step in between):
                raise _Refused(f"COPY {pattern} goes through a symbolic link")
            if not (path.is_dir() or path.is_file()):
                raise _Refused(f"COPY {pattern}: {path.name} is neither a file nor a directory")
        return sorted(found)

    def _expand(self, text: str) -> str:
        """Variables of earlier ENV lines, as Docker replaces them: unknown ones are empty."""

        def value(match: re.Match[str]) -> str:
            if match[1]:
                return match[1] if match[1] == "$" else match[0]
            name = match[2] or match[4]
            if name is None:
                raise _Refused(f"the variable in {text!r} is not understood")
            usual = "" if name != "PATH" else _PATH if self.images != "none" else f"{TOOLS}:{_PATH}"
            return self.out.env.get(name) or match[3] or usual

        return _VARIABLE.sub(value, text)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, INSTRUCTION, rest) with comments dropped and continued lines joined."""
    start, gathered = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        start = start or number
        if line.endswith("\\"):
            gathered += line[:-1] + " "
            continue
        yield start, *_split(gathered + line)
        start, gathered = 0, ""
    if gathered.strip():
        yield start, *_split(gathered)


def _split(instruction: str) -> tuple[str, str]:
    word, *rest = instruction.split(None, 1)
    return word.upper(), rest[0].strip() if rest else ""


def _matching(parent: Path, part: str) -> list[Path]:
    if not parent.is_dir() or parent.is_symlink():
        return []
    if not set(part) & set("*?["):
        return [parent / part] if (parent / part).exists() or (parent / part).is_symlink() else []
    return [path for path in parent.iterdir() if fnmatch.fnmatchcase(path.name, part)]


def _json_words(rest: str) -> list[str] | None:
    """The JSON form of an instruction's arguments, None when it is not written so."""
    if not rest.startswith("["):
        return None
    try:
        words = json.loads(rest)
    except ValueError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


_ESCAPED = re.compile(r"(\\\\)|\\\$")  # `\$` has to come through the splitting as it is; `\\` is a pair


def _pairs(rest: str) -> list[tuple[str, str]]:
    """`ENV A=b C="d e"`, and the old `ENV A the whole rest`."""
    name, _, value = rest.partition(" ")
    if "=" not in name:
        if not value:
            raise _Refused("ENV needs NAME=value")
        return [(_variable_name(name), value.strip())]
    try:
        words = shlex.split(_ESCAPED.sub(lambda pair: pair[1] or r"\\$", rest))
    except ValueError as error:
        raise _Refused(f"ENV cannot be read ({error})") from None
    pairs = [word.partition("=") for word in words]
    if not all(equals for _, equals, _ in pairs):
        raise _Refused("ENV needs NAME=value")
    return [(_variable_name(name), value) for name, _, value in pairs]


def _variable_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise _Refused(f"ENV: {name!r} is no name of a variable")
    return name
