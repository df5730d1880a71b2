import os
import subprocess

SCRIPT = os.path.join(os.getcwd(), "rotate.sh")


def rotate(*args):
    return subprocess.run(["bash", SCRIPT, *map(str, args)], capture_output=True, text=True)


def fill(directory, *names):
    for name in names:
        (directory / name).write_text(name)


def left(directory):
    return sorted(os.listdir(directory))


def test_keeps_the_newest(tmp_path):
    fill(tmp_path, "a-1.bak", "a-2.bak", "a-3.bak", "a-4.bak")
    done = rotate(tmp_path, 3)
    assert left(tmp_path) == ["a-2.bak", "a-3.bak", "a-4.bak"]
    assert done.stdout == "removed a-1.bak\n"


def test_names_with_spaces(tmp_path):
    fill(tmp_path, "my notes-1.bak", "my notes-2.bak")
    rotate(tmp_path, 1)
    assert left(tmp_path) == ["my notes-2.bak"]


def test_missing_directory(tmp_path):
    done = rotate(tmp_path / "none", 1)
    assert done.returncode == 2 and done.stderr


def test_other_files_stay(tmp_path):
    fill(tmp_path, "a.txt", "b-1.bak")
    rotate(tmp_path, 0)
    assert "a.txt" in left(tmp_path)
