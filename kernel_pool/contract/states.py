"""Snapshots and forks: frozen stays frozen, siblings never meet."""

from __future__ import annotations

import io
import tarfile

from ..errors import FileAccessError, KernelError
from ..kernel import Kernel, Snapshot
from .scene import Scene, expect, output, promised, refused


async def an_unchanged_kernel_gives_the_same_snapshot(scene: Scene) -> None:
    """Nothing changed: the same snapshot again. Something changed: another one."""
    base = await scene.base()
    async with scene.kernel(base) as kernel:
        expect(await kernel.snapshot() == base, "a new kernel's snapshot is not what it was started from")
        await kernel.write("hello.txt", b"changed\n")
        first = await kernel.snapshot()
        expect(first.digest != base.digest, "a changed file did not change the digest")
        await kernel.read("hello.txt")
        expect(await kernel.snapshot() == first, "reading changed the state")
        await output(kernel, "cat hello.txt > /dev/null")
        expect(await kernel.snapshot() == first, "a command that changed nothing changed the state")


async def a_snapshot_stays_as_it_was(scene: Scene) -> None:
    """What the kernel does after a snapshot is not in it."""
    async with scene.kernel() as kernel:
        await output(kernel, "echo v1 > file; mkdir d; echo x > d/x")
        snapshot = await kernel.snapshot()
        await output(kernel, "echo v2 > file; rm -r d; echo new > new; echo appended >> hello.txt")
        async with scene.kernel(snapshot) as fork:
            expect(
                await _content(fork)
                == {"hello.txt": "hello\n", "sub/inner.txt": "inner\n", "file": "v1\n", "d/x": "x\n"},
                "the snapshot changed",
            )


async def forks_do_not_see_each_other(scene: Scene) -> None:
    """Writes and deletions in a fork reach neither its siblings nor its parent, and theirs do not reach it."""
    async with scene.kernel() as parent:
        await parent.write("shared.txt", b"parent\n")
        snapshot = await parent.snapshot()
        async with scene.kernel(snapshot) as one, scene.kernel(snapshot) as two:
            await output(one, "echo one > shared.txt; rm -r sub; echo 1 > only-one")
            await two.write("shared.txt", b"two\n")
            await parent.write("shared.txt", b"later\n")
            expect(await one.read("shared.txt") == b"one\n", "fork one sees another's write")
            expect(await two.read("shared.txt") == b"two\n", "fork two sees another's write")
            expect(await parent.read("shared.txt") == b"later\n", "the parent sees a fork's write")
            expect(await two.read("sub/inner.txt") == b"inner\n", "a sibling's deletion reached fork two")
            for other in (two, parent):
                await refused(other.read("only-one"), FileAccessError.ABSENT)


async def a_fork_restores_the_shell(scene: Scene) -> None:
    """A fork's shell has the parent's directory, variables and functions, and goes its own way from there."""
    promised(
        "env" in scene.backend.capabilities.restores or scene.backend.capabilities.restores == "memory",
        "the back-end restores files only",
    )
    async with scene.kernel() as kernel:
        await output(kernel, "cd sub; export KEPT='a b'; list=(1 2 3); say() { echo \"$KEPT ${list[2]}\"; }")
        snapshot = await kernel.snapshot()
        await output(kernel, "KEPT=changed; cd ..")
    async with scene.kernel(snapshot) as one, scene.kernel(snapshot) as two:
        await output(one, "KEPT=one")
        for fork, wanted in ((one, "one 3\ninner\n"), (two, "a b 3\ninner\n")):
            seen = await output(fork, "say; cat inner.txt")
            expect(seen == wanted, f"the fork's shell says {seen!r} instead of {wanted!r}")


async def deletions_and_renames_survive_a_fork(scene: Scene) -> None:
    """Deleted, renamed and replaced files and directories, modes, links and empty directories are restored."""
    async with scene.kernel() as kernel:
        await output(
            kernel,
            "mkdir -p deep/er empty; echo a > deep/a; echo b > deep/er/b; mv sub moved; rm hello.txt;"
            "mkdir hello.txt; echo inside > hello.txt/f; ln -s moved/inner.txt link; chmod 750 deep/a; touch 'sp ace'",
        )
        first = await kernel.snapshot()
        await output(
            kernel,
            "rm -r deep; mkdir deep; echo c > deep/c; mv moved again; rm -r hello.txt; echo f > hello.txt",
        )
        second = await kernel.snapshot()
    async with scene.kernel(first) as fork:
        wanted = {
            "deep/a": "a\n",
            "deep/er/b": "b\n",
            "moved/inner.txt": "inner\n",
            "hello.txt/f": "inside\n",
            "sp ace": "",
        }
        expect(await _content(fork) == wanted, f"the first state holds {await _content(fork)}")
        infos = {info.path: info for info in await fork.list(".", depth=2)}
        expect(
            infos["link"].kind == "symlink" and await fork.read("link") == b"inner\n",
            "the link is not restored",
        )
        expect(infos["deep/a"].mode == 0o750, f"the mode is {infos['deep/a'].mode:o}")
        expect(infos["empty"].kind == "dir", "the empty directory is gone")
    async with scene.kernel(second) as fork:
        wanted = {"deep/c": "c\n", "again/inner.txt": "inner\n", "hello.txt": "f\n", "sp ace": ""}
        expect(await _content(fork) == wanted, f"the second state holds {await _content(fork)}")


async def chains_of_forks_keep_every_state(scene: Scene) -> None:
    """A fork of a fork of a fork holds all changes on its way, and every state in between can still be started."""
    states: list[Snapshot] = [await scene.base()]
    for step in range(6):
        async with scene.kernel(states[-1]) as kernel:
            expect(await kernel.snapshot() == states[-1], f"state {step} changed by being started")
            await output(kernel, f"echo {step} > step{step}; echo {step} >> log; rm -f step{step - 2}")
            states.append(await kernel.snapshot())
    for step in (6, 3, 1):
        async with scene.kernel(states[step]) as kernel:
            kept = {name for name in (await _content(kernel)) if name.startswith("step")}
            expect(
                kept == {f"step{n}" for n in (step - 2, step - 1) if n >= 0},
                f"state {step} holds {sorted(kept)}",
            )
            log = await kernel.read("log")
            expect(
                log == "".join(f"{n}\n" for n in range(step)).encode(), f"state {step} has the log {log!r}"
            )


async def an_exported_state_loads_again(scene: Scene) -> None:
    """`export` and `load` give the same files, deletions included, and the shell given to `load`."""
    base = await scene.base()
    archive = scene.scratch / "layer.tar"
    async with scene.kernel(base) as kernel:
        await output(
            kernel,
            "echo n > 'new file'; rm -r sub; ln -s hello.txt link; mkdir -p x/y; echo z > x/y/z; chmod 711 x; export V=w",
        )
        snapshot = await kernel.snapshot()
        content = await _content(kernel)
    await scene.backend.export(snapshot, archive)
    with tarfile.open(archive) as tar:
        names = {name.removeprefix("./") for name in tar.getnames()}
    expect("app/.wh.sub" in names and "app/new file" in names, f"the archive holds {sorted(names)}")
    expect("app/hello.txt" not in names, "the archive holds what the base has")
    loaded = await scene.backend.load(base, archive, env=snapshot.env)
    expect(loaded.digest == snapshot.digest, "the loaded state has another digest")
    async with scene.kernel(loaded) as kernel:
        expect(await _content(kernel) == content, f"the loaded state holds {await _content(kernel)}")
        modes = {info.path: info.mode for info in await kernel.list()}
        expect(modes["x"] == 0o711, f"the directory's mode is {modes['x']:o}")
        if scene.backend.capabilities.restores != "files":
            expect(await output(kernel, "echo $V") == "w\n", "the shell was not restored")


async def a_hostile_archive_stays_inside(scene: Scene) -> None:
    """`load` of an archive with `..`, absolute names and links never touches the host; it may refuse it."""
    victim = scene.scratch / "victim"
    victim.mkdir()
    (victim / "file").write_text("untouched")
    archive = scene.scratch / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        _add_link(tar, "app/way", str(victim))
        _add_link(tar, "app/way2", "../" * 30 + str(victim)[1:])
        for name in (
            "app/way/file",
            "app/way2/file",
            "../" * 30 + str(victim)[1:] + "/file",
            f"{victim}/file",
            "app/way/.wh.file",
        ):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
        hard = tarfile.TarInfo("app/hard")
        hard.type, hard.linkname = tarfile.LNKTYPE, str(victim / "file")
        tar.addfile(hard)
    try:
        loaded = await scene.backend.load(await scene.base(), archive)
    except KernelError:
        loaded = None
    expect((victim / "file").read_text() == "untouched", "a file of the host was changed")
    if loaded is not None:
        async with scene.kernel(loaded) as kernel:
            try:
                expect(await kernel.read("hard") != b"untouched", "a hard link reaches a file of the host")
            except FileAccessError:
                return


async def a_broken_archive_is_an_error(scene: Scene) -> None:
    """`load` of something that is no archive raises `KernelError`."""
    archive = scene.scratch / "no.tar"
    archive.write_bytes(b"this is no archive" * 100)
    base = await scene.base()
    for path in (archive, scene.scratch / "absent.tar"):
        try:
            await scene.backend.load(base, path)
        except KernelError:
            continue
        expect(False, f"{path.name} was loaded")


def _add_link(tar: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    tar.addfile(info)


async def _content(kernel: Kernel) -> dict[str, str]:
    """Every regular file below the workdir with its text."""
    files = [info.path for info in await kernel.list(".", depth=6) if info.kind == "file"]
    return {path: (await kernel.read(path)).decode() for path in files}


BEHAVIOURS = (
    an_unchanged_kernel_gives_the_same_snapshot,
    a_snapshot_stays_as_it_was,
    forks_do_not_see_each_other,
    a_fork_restores_the_shell,
    deletions_and_renames_survive_a_fork,
    chains_of_forks_keep_every_state,
    an_exported_state_loads_again,
    a_hostile_archive_stays_inside,
    a_broken_archive_is_an_error,
)
