import subprocess


def make(*args):
    return subprocess.run(["make", *args], capture_output=True, text=True)


def test_make_builds_the_program():
    make("clean")
    done = make()
    assert done.returncode == 0, done.stderr


def test_program_runs():
    make()
    done = subprocess.run(["bin/stats"], input="1 2 3 4", capture_output=True, text=True)
    assert done.stdout == "4 2.500 1.118\n"


def test_second_make_does_nothing():
    make()
    assert "-o" not in make().stdout


def test_clean_keeps_the_sources():
    make("clean")
    assert subprocess.run(["ls", "src"], capture_output=True, text=True).stdout.split() == ["main.c", "moments.c", "reader.c"]
