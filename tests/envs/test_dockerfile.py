"""The Dockerfiles that can be honoured, and the lines that cannot."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from envs.dockerfile import TOOLS, Environment, read_dockerfile
from kernel_pool import CopyIn, RunStep
from kernel_pool.kernel import Images


def read(context: Path, text: str, *, images: Images = "none") -> Environment:
    path = context / "Dockerfile"
    path.write_text(text)
    return read_dockerfile(path, text, images=images)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "environment"
    (root / "src" / "deep").mkdir(parents=True)
    for name in ("a.py", "b.py", "notes.txt", "src/c.py", "src/deep/d.py"):
        (root / name).write_text(name)
    return root


def test_an_ordinary_dockerfile_is_understood_whole(context: Path) -> None:
    made = read(
        context,
        """# a comment
FROM python:3.12-slim
ENV BASE=/opt MODE="very fast"
ENV TOOLS=$BASE/tools PATH=${BASE}/bin:$PATH
WORKDIR /app
COPY --chown=1000:1000 a.py notes.txt ./
copy src lib
COPY *.py /opt/
RUN apt-get update && \\
    # in between
    apt-get install -y thing
WORKDIR sub
COPY ["a.py", "renamed.py"]
CMD ["bash"]
""",
    )
    assert made.problems == []
    assert (made.image, made.workdir) == ("python:3.12-slim", "/app/sub")
    assert made.env["TOOLS"] == "/opt/tools" and made.env["MODE"] == "very fast"
    assert made.env["PATH"].startswith(f"/opt/bin:{TOOLS}:/usr/local/sbin:")
    copies = [(str(s.source.relative_to(context)), s.target) for s in made.steps if isinstance(s, CopyIn)]
    assert copies == [
        ("a.py", "/app/a.py"),
        ("notes.txt", "/app/notes.txt"),
        ("src", "/app/lib"),
        ("a.py", "/opt/a.py"),
        ("b.py", "/opt/b.py"),
        ("a.py", "/app/sub/renamed.py"),
    ]
    (run,) = [s.command for s in made.steps if isinstance(s, RunStep)]
    assert run == "mkdir -p /app && cd /app && sh -c 'apt-get update &&  apt-get install -y thing'"
    assert any("own tools" in note for note in made.notes) and any("--chown" in note for note in made.notes)


def test_a_run_step_sees_the_directory_and_the_variables_of_its_place(context: Path, tmp_path: Path) -> None:
    here, later = tmp_path / "here", tmp_path / "later"
    made = read(
        context,
        f"FROM debian\nENV A=first\nWORKDIR {here}\nRUN echo $A-$B-`pwd` 'quo\"ted' > out\n"
        f"ENV A=second B=late\nWORKDIR {later}\n",
    )
    (run,) = made.steps
    assert isinstance(run, RunStep)
    subprocess.run(["bash", "-c", run.command], env={"PATH": "/usr/bin:/bin", **made.env}, check=True)
    assert (here / "out").read_text() == f'first--{here} quo"ted\n'
    assert made.env == {"A": "second", "B": "late"}
    assert shlex.split(run.command)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ADD a.py /app/", "use COPY"),
        ("ARG X=1", "ARG is not understood"),
        ("USER nobody", "USER"),
        ('ENTRYPOINT ["x"]', "ENTRYPOINT"),
        ("FROM debian AS two", "multi-stage"),
        ("COPY --from=builder /x /y", "--from"),
        ("COPY ../secret /app/", "leaves environment/"),
        ("COPY src/../../x /app/", "leaves environment/"),
        ("COPY gone.py /app/", "no such file"),
        ("COPY *.rs /app/", "no such file"),
        ("COPY a.py b.py /app/one", "ends in /"),
        ("COPY a.py", "a source and a target"),
        ("COPY link/passwd /app/", "no such file"),
        ("COPY link /app/", "symbolic link"),
        ("COPY <<EOF /app/x", "here-document"),
        ("RUN cat <<EOF > x", "here-document"),
        ("RUN --mount=type=cache x", "--mount"),
        ("ENV 1X=2", "no name of a variable"),
        ("ENV A=${B:+c}", "is not understood"),
        ("ENV A='$B'", "single quotes"),
        ("FLY away", "FLY is not understood"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_line(context: Path, line: str, words: str) -> None:
    (context / "link").symlink_to("/etc")
    made = read(context, f"FROM debian\n\n{line}\n")
    (problem,) = made.problems
    assert (problem.line, problem.path) == (3, context / "Dockerfile") and words in problem.message


@pytest.mark.parametrize(
    "image", ["debian", "ubuntu:24.04", "python:3.12-slim", "docker.io/library/python:3"]
)
def test_plain_images_are_stood_in_for_by_this_machine(context: Path, image: str) -> None:
    made = read(context, f"FROM {image}\nWORKDIR /app\n")
    assert not made.problems and "own tools" in made.notes[0]


@pytest.mark.parametrize(
    "image", ["node:20", "ghcr.io/x/python:3", "evil/debian", "scratch", "python:3 AS x"]
)
def test_other_images_are_refused(context: Path, image: str) -> None:
    (problem,) = read(context, f"# one\nFROM {image}\n").problems
    assert problem.line == 2


def test_other_images_are_kept_for_a_back_end_that_runs_images(context: Path) -> None:
    made = read(context, "FROM node:20\n", images="named")
    assert (made.image, made.problems) == ("node:20", []) and "runs images" in made.notes[0]


def test_a_back_end_that_builds_takes_the_file_as_it_is(context: Path) -> None:
    made = read(context, "FROM node:20 AS x\nARG A=1\nUSER nobody\n", images="built")
    assert made.problems == []
    assert "built by the back-end" in made.notes[-1]


def test_without_workdir_commands_run_in_app_and_a_note_says_so(context: Path) -> None:
    made = read(context, "FROM debian\nCOPY a.py /app/\n")
    assert made.workdir == "/app" and "WORKDIR" in made.notes[-1]


def test_an_empty_dockerfile_has_no_from(context: Path) -> None:
    assert [p.message for p in read(context, "# nothing\n").problems] == ["has no FROM"]


def test_env_means_what_docker_means(context: Path) -> None:
    (context / ".dockerignore").write_text("*.txt\n")
    made = read(context, 'FROM debian\nENV A=old\nENV A=new B=$A C="\\$A" D=a\\ b\nWORKDIR /app\n')
    assert made.problems == []
    assert {name: made.env[name] for name in "ABCD"} == {"A": "new", "B": "old", "C": "$A", "D": "a b"}
    assert any(".dockerignore" in note for note in made.notes)


def test_another_escape_character_is_refused(context: Path) -> None:
    (problem,) = read(context, "# escape=`\nFROM debian\n").problems
    assert problem.line == 1 and "escape" in problem.message
