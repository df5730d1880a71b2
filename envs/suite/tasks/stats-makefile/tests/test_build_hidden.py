import os
import shutil
import subprocess

import pytest


@pytest.fixture
def project(tmp_path):
    for name in ("Makefile", "src", "include"):
        source = os.path.join(os.getcwd(), name)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, tmp_path / name)
    return tmp_path


def make(project, *args):
    return subprocess.run(["make", *args], cwd=project, capture_output=True, text=True)


def built(project, *args):
    done = make(project, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stats(project, text):
    return subprocess.run([project / "bin" / "stats"], input=text, capture_output=True, text=True).stdout


def newer(project, path):
    """Make a file newer than everything that was built, without waiting."""
    latest = max(p.stat().st_mtime for p in project.rglob("*"))
    os.utime(project / path, (latest + 10, latest + 10))


def test_from_scratch(project):
    built(project)
    assert stats(project, "2 4 4 4 5 5 7 9\n") == "8 5.000 2.000\n"
    assert stats(project, "") == "0 0.000 0.000\n"


def test_parallel_from_scratch(project):
    built(project, "-j4")
    assert stats(project, "1") == "1 1.000 0.000\n"


def test_nothing_to_do_the_second_time(project):
    built(project)
    again = built(project)
    assert "-c" not in again.split() and "-o" not in again.split()


def test_header_change_rebuilds_and_takes_effect(project):
    built(project)
    header = project / "include" / "stats.h"
    header.write_text(header.read_text().replace("STATS_DIGITS 3", "STATS_DIGITS 1"))
    newer(project, "include/stats.h")
    built(project)
    assert stats(project, "1 2") == "2 1.5 0.5\n"


def test_source_change_rebuilds(project):
    built(project)
    source = project / "src" / "moments.c"
    source.write_text(source.read_text().replace("return count ? sum / (double)count : 0;", "return 42;"))
    newer(project, "src/moments.c")
    built(project)
    assert stats(project, "1 2").startswith("2 42.000")


def test_library_alone(project):
    built(project, "lib")
    listing = subprocess.run(["ar", "t", project / "build" / "libstats.a"], capture_output=True, text=True).stdout
    assert {"moments.o", "reader.o"} <= set(listing.split())
    assert not (project / "bin" / "stats").exists()


def test_other_flags_keep_the_header(project):
    built(project, "CFLAGS=-O0")
    assert stats(project, "3") == "1 3.000 0.000\n"


def test_clean_removes_only_what_was_built(project):
    built(project)
    built(project, "clean")
    assert sorted(p.name for p in project.iterdir()) == ["Makefile", "include", "src"]


def test_file_called_clean_is_no_obstacle(project):
    (project / "clean").write_text("")
    built(project)
    built(project, "clean")
    assert not (project / "bin").exists() and not (project / "build").exists()
