"""Whatever is done to a tree, a fork has exactly that tree, and the way there leaves no trace in the digest."""

from __future__ import annotations

import asyncio
import random
import tarfile
from pathlib import Path

import pytest
from local_support import PYTHON, kernel, local, shell

from kernel_pool import BaseSpec, CopyIn, FileAccessError, Snapshot
from kernel_pool.backends.local.handle import LocalKernel

#: What a program inside sees of a tree, in one line per entry: an opinion independent of our own scan.
LOOK = r"""
import hashlib, os, stat
for top, dirs, files in os.walk("."):
    dirs.sort()
    for name in sorted(dirs + files):
        path = os.path.join(top, name)
        try:
            info = os.lstat(path)
        except PermissionError:
            print(path, "out of reach")
            continue
        what = [path, stat.filemode(info.st_mode)]
        if not os.access(path, os.R_OK, follow_symlinks=False):
            what.append("closed")
        elif stat.S_ISREG(info.st_mode):
            what += [info.st_size, info.st_blocks * 512 <= info.st_size + 8192, hashlib.sha256(open(path, "rb").read()).hexdigest()[:16]]
        if stat.S_ISLNK(info.st_mode):
            what.append(os.readlink(path))
        elif "closed" not in what:
            what += [(n, os.getxattr(path, n)) for n in sorted(os.listxattr(path, follow_symlinks=False))]
        print(*what)
"""

#: shell texts with two random names each; the base has directories d0..d3 with files f0..f3
DEEDS = (
    "echo {n} > {a}",
    "echo {n} >> {a}/{b} || true",
    "rm -rf {a}",
    "rm -f {a}/{b}",
    "mkdir -p {a}/{b}",
    "rm -rf {a}; mkdir {a}",
    "rm -rf {a}; mkdir {a}; echo {n} > {a}/f0",
    "mv {a} {b}",
    "mv -T {a}/{b} {b}",
    "rm -rf {a}; ln -s {b} {a}",
    "cp -a {a} copy{n}",
    "truncate -s {n}M {a}/sparse; echo end >> {a}/sparse",
    "chmod {mode} {a}",
    "chmod -R u+rwX .; chmod {mode} {a}/f2",
    "touch {a}/{b}; python3 -c \"import os; os.setxattr('{a}/{b}', 'user.k', b'{n}')\"",
    "mkfifo {a}/pipe",
    "python3 -c \"import os; os.setxattr('{a}', 'user.overlay.opaque', b'y')\"",
)


def deed(rng: random.Random) -> str:
    names = ("d0", "d1", "d2", "d3", "f0", "new", "d1/deep")
    text = rng.choice(DEEDS).format(
        a=rng.choice(names),
        b=rng.choice(names),
        n=rng.randrange(1, 9),
        mode=rng.choice(("700", "755", "644", "500")),
    )
    return f"{{ {text}; }} 2>/dev/null; true"


async def look(target: LocalKernel) -> str:
    result = await target.run([PYTHON, "-I", "-S", "-c", LOOK])
    assert result.ok, result.stderr
    return result.stdout.decode()


def source(place: Path) -> Path:
    for number in range(4):
        (place / f"d{number}" / "deep").mkdir(parents=True)
        for name in ("f0", "f1", "f2", "f3", "deep/f0"):
            (place / f"d{number}" / name).write_text(f"{number} {name}")
    (place / "f0").write_text("top")
    return place


@pytest.mark.parametrize("seed", range(8))
async def test_forks_at_every_step_give_the_tree_and_the_digest_of_one_go(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    deeds = [deed(rng) for _ in range(25)]
    async with local() as backend:
        base = await backend.prepare(BaseSpec(steps=(CopyIn(source(tmp_path), "/app"),)))
        at_once = await backend.start(base)
        state: Snapshot = base
        for number, text in enumerate(deeds):
            await at_once.run(text)
            forked = await backend.start(state)
            await forked.run(text)
            state = await forked.snapshot()
            if number % 5 == 4:
                again = await backend.start(state)
                assert await look(again) == await look(forked) == await look(at_once), deeds[: number + 1]
                assert await again.snapshot() is state
                await again.close()
            await forked.close()
        assert (await at_once.snapshot()).digest == state.digest
        await backend.export(state, tmp_path / "layer.tar")
        loaded = await backend.load(base, tmp_path / "layer.tar", env=state.env)
        assert loaded.digest == state.digest


@pytest.mark.slow
async def test_a_chain_of_550_states_never_meets_the_layer_limit() -> None:
    async with kernel() as (backend, base, _live):
        state, wanted = base, {}
        for number in range(550):
            forked = await backend.start(state)
            await forked.run(["sh", "-c", f"echo {number} > f{number % 7}; rm -f f{(number + 3) % 7}"])
            state = await forked.snapshot()
            await forked.close()
            wanted[number % 7] = number
            wanted.pop((number + 3) % 7, None)
        assert len(state.layers) == 1
        last = await backend.start(state)
        assert (await shell(last, "grep . f*")).split() == [
            f"f{name}:{wanted[name]}" for name in sorted(wanted)
        ]


async def test_forking_while_siblings_write_is_safe() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, "for i in $(seq 50); do echo $i > f$i; done")
        state = await parent.snapshot()
        siblings = [await backend.start(state) for _ in range(4)]
        work = "for i in $(seq 300); do echo x >> f$((i % 50 + 1)); rm -f f$((i % 9 + 1)); mkdir -p d$i; done"
        running = [asyncio.create_task(shell(one, work)) for one in (parent, *siblings)]
        seen = set()
        while not all(task.done() for task in running):
            fork = await backend.start(state)
            seen.add(await look(fork))
            assert (await fork.snapshot()).digest == state.digest
            await fork.close()
        await asyncio.gather(*running)
        assert len(seen) == 1
        digests = {(await one.snapshot()).digest for one in (parent, *siblings)}
        assert len(digests) == 1


async def test_renaming_a_directory_of_the_base_is_what_the_notes_say(tmp_path: Path) -> None:
    async with local() as backend:
        live = await backend.start(await backend.prepare(BaseSpec(steps=(CopyIn(source(tmp_path), "/app"),))))
        plain = await live.run([PYTHON, "-c", "import os; os.rename('d0', 'other')"])
        assert b"cross-device" in plain.stderr
        assert await shell(live, "mv d0 other && cat other/f0") == "0 f0"
        assert any("EXDEV" in note for note in backend.capabilities.notes)


async def test_hard_links_are_one_file_in_a_fork_until_one_name_is_written_as_the_notes_say() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, "echo x > a; ln a b; mkdir d; ln a d/c")
        state = await parent.snapshot()
        fork = await backend.start(state)
        assert (await shell(fork, "stat -c %i a b d/c | sort -u | wc -l")).strip() == "1"
        assert (await fork.snapshot()).digest == state.digest
        assert await shell(fork, "echo y > a; cat a b d/c") == "y\nx\nx\n"
        assert any("hard link" in note for note in backend.capabilities.notes)


#: What an agent can plant, to be found by whoever reads its results on the host.
PLANTED = """
ln -s {canary} link; ln -s {parent} way; ln -s / root; ln -s /proc/self/environ environ; ln -s /dev/zero zero
ln {canary} hard; mkfifo pipe; mknod disk b 254 0; mknod null c 1 3; truncate -s 200M huge
ln -s ../../../../../../..{canary} up; mkdir dir; ln -s {parent} dir/inner; ln -s loop loop
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('sock')"
mkdir -p 'strange \\n name' $(python3 -c "print('deep/' * 300)") 2>/dev/null
"""


async def test_what_is_planted_in_the_tree_never_leads_the_host_astray(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("host secret")
    async with kernel() as (backend, base, live):
        await live.run(PLANTED.format(canary=canary, parent=tmp_path) + "\ntrue")
        for path in (
            "link",
            "way/canary",
            "root" + str(canary),
            "up",
            "dir/inner/canary",
            "hard",
            "environ",
            "zero",
            "pipe",
            "huge",
            "loop",
            "sock",
        ):
            with pytest.raises(FileAccessError):
                await live.read(path)
        with pytest.raises(FileAccessError):
            await live.write("pipe", b"x")
        for path in ("way/new", "dir/inner/new"):
            with pytest.raises(FileAccessError):
                await live.write(path, b"x")  # there is no such directory inside
        state = await live.snapshot()
        await backend.export(state, tmp_path / "layer.tar")
        assert b"host secret" not in (tmp_path / "layer.tar").read_bytes()
        with tarfile.open(tmp_path / "layer.tar") as tar:
            kinds = {item.name: item for item in tar}
        assert kinds["app/link"].issym() and kinds["app/link"].linkname == str(canary)
        assert not [name for name in kinds if name.endswith(("/disk", "/null", "/sock", "/hard"))]
        fork = await backend.start(state)
        with pytest.raises(FileAccessError):
            await fork.read("link")
        assert (await fork.snapshot()).digest == state.digest
        assert sorted(tmp_path.iterdir()) == [canary, tmp_path / "layer.tar"]
        assert canary.read_text() == "host secret"
        assert (await backend.start(base)) is not None
