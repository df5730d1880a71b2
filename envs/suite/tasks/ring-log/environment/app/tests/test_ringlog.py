import subprocess

import pytest


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run(["make", "-s", "ringlog"], check=True)


def run(size, *commands):
    done = subprocess.run(
        ["./ringlog", str(size)], input="\n".join(commands), capture_output=True, text=True, errors="replace", timeout=10
    )
    assert done.returncode == 0
    return done.stdout.splitlines()


def test_lines_come_back():
    assert run(100, "add one", "add two", "show") == ["one", "two"]


def test_oldest_goes_first():
    assert run(9, "add one", "add two", "add six", "show") == ["two", "six"]


def test_exact_fit():
    assert run(4, "add abc", "show") == ["abc"]


def test_find_in_the_middle():
    assert run(100, "add xaby", "add ab", "add c", "find ab") == ["xaby", "ab"]


def test_unknown_command():
    assert run(10, "jump") == ["unknown command"]


def test_size_is_needed():
    assert subprocess.run(["./ringlog"], capture_output=True).returncode == 2
