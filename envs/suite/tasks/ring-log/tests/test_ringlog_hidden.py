import random
import subprocess

import pytest


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run(["make", "-s", "clean"], check=True)
    subprocess.run(["make", "-s", "ringlog"], check=True)


def run(size, *commands):
    done = subprocess.run(
        ["./ringlog", str(size)], input="\n".join(commands), capture_output=True, text=True, errors="replace", timeout=10
    )
    assert done.returncode == 0, done.returncode
    return done.stdout.splitlines()


class Model:
    def __init__(self, size):
        self.size, self.entries = size, []

    def used(self):
        return sum(len(e) + 1 for e in self.entries)

    def act(self, command):
        word, _, rest = command.partition(" ")
        if word == "add":
            if len(rest) + 1 > self.size:
                return ["too long"]
            while self.used() + len(rest) + 1 > self.size:
                self.entries.pop(0)
            self.entries.append(rest)
        elif word == "drop":
            del self.entries[: int(rest)]
        elif word == "find":
            return [e for e in self.entries if rest in e]
        elif word == "stat":
            return [f"{len(self.entries)} {self.used()} {self.size - self.used()}"]
        elif word == "show":
            return list(self.entries)
        return []


@pytest.mark.parametrize("size", [1, 2, 5, 13, 32, 100])
@pytest.mark.parametrize("seed", [1, 2])
def test_against_a_model(size, seed):
    rng = random.Random(seed * 1000 + size)
    commands = []
    for _ in range(300):
        kind = rng.random()
        if kind < 0.6:
            commands.append("add " + "".join(rng.choice("abc") for _ in range(rng.randrange(size + 3))))
        elif kind < 0.7:
            commands.append(f"drop {rng.randrange(4)}")
        elif kind < 0.8:
            commands.append("find " + rng.choice(["a", "ab", "ca"]))
        else:
            commands.append(rng.choice(["stat", "show"]))
    model = Model(size)
    assert run(size, *commands) == [line for command in commands for line in model.act(command)]


def test_too_long_leaves_the_rest():
    assert run(8, "add ab", "add abcdefgh", "show", "add abcdefg", "show") == ["too long", "ab", "abcdefg"]


def test_statistics_after_a_drop():
    assert run(20, "add abc", "add de", "drop 1", "stat", "drop 9", "stat") == ["1 3 17", "0 0 20"]


def test_wrapping_many_times():
    commands = [f"add line{n:03d}" for n in range(500)]
    assert run(20, *commands, "show") == ["line498", "line499"]


def test_empty_entry():
    assert run(3, "add ", "add ", "stat", "show") == ["2 2 1", "", ""]


def test_find_nothing():
    assert run(30, "add abc", "find x") == []
