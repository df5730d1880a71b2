import os
import subprocess

import pytest

SCRIPT = os.path.join(os.getcwd(), "rotate.sh")


def rotate(*args):
    return subprocess.run(["bash", SCRIPT, *map(str, args)], capture_output=True, text=True)


def fill(directory, names):
    for name in names:
        (directory / name).write_text(name)


def left(directory):
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("keep", [0, 1, 4, 5, 9])
def test_number_that_is_kept(tmp_path, keep):
    names = [f"db-2024-0{n}-01.bak" for n in range(1, 6)]
    fill(tmp_path, names)
    done = rotate(tmp_path, keep)
    gone = names[: max(0, 5 - keep)]
    assert left(tmp_path) == names[len(gone) :]
    assert done.stdout == "".join(f"removed {n}\n" for n in gone)
    assert (done.returncode, done.stderr) == (0, "")


def test_odd_names(tmp_path):
    names = sorted(["a  b.bak", "*.bak", "-rf.bak", "$HOME.bak", "q'uote.bak", "zz.bak"])
    fill(tmp_path, names)
    done = rotate(tmp_path, 1)
    assert left(tmp_path) == ["zz.bak"]
    assert done.stdout.splitlines() == [f"removed {n}" for n in names[:-1]]


def test_byte_order(tmp_path):
    fill(tmp_path, ["B.bak", "a.bak"])
    rotate(tmp_path, 1)
    assert left(tmp_path) == ["a.bak"]


def test_no_backups(tmp_path):
    fill(tmp_path, ["x.txt"])
    done = rotate(tmp_path, 2)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert left(tmp_path) == ["x.txt"]


def test_directories_are_no_backups(tmp_path):
    (tmp_path / "aa.bak").mkdir()
    fill(tmp_path, ["b.bak", "c.bak"])
    rotate(tmp_path, 1)
    assert left(tmp_path) == ["aa.bak", "c.bak"]


@pytest.mark.parametrize("keep", ["", "x", "-1", "1.5", "2x"])
def test_bad_number_deletes_nothing(tmp_path, keep):
    fill(tmp_path, ["a.bak", "b.bak"])
    done = rotate(tmp_path, keep)
    assert done.returncode == 2 and done.stderr and not done.stdout
    assert left(tmp_path) == ["a.bak", "b.bak"]


def test_directory_with_a_space(tmp_path):
    place = tmp_path / "old stuff"
    place.mkdir()
    fill(place, ["a.bak", "b.bak"])
    rotate(place, 1)
    assert left(place) == ["b.bak"]


def test_missing_arguments(tmp_path):
    assert rotate().returncode == 2
    assert rotate(tmp_path).returncode == 2


def test_links_are_no_backups(tmp_path):
    fill(tmp_path, ["b.bak", "c.bak"])
    (tmp_path / "aa.bak").symlink_to("c.bak")
    rotate(tmp_path, 1)
    assert left(tmp_path) == ["aa.bak", "c.bak"]


def test_a_missing_directory_is_told_on_stderr(tmp_path):
    done = rotate(tmp_path / "none", 1)
    assert done.returncode == 2 and done.stderr and not done.stdout
