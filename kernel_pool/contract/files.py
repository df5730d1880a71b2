"""`read`, `write`, `list`: what they give, what they refuse, and that no link leads out."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileAccessError
from ..kernel import Kernel, ReadOnlyMount
from .scene import Scene, expect, output, raises, refused


async def files_round_trip(scene: Scene) -> None:
    """Bytes written are the bytes read, by `read` and by commands; directories are made; the mode is set."""
    data = bytes(range(256)) * 300
    async with scene.kernel() as kernel:
        await kernel.write("new/deep/data.bin", data)
        expect(await kernel.read("new/deep/data.bin") == data, "read gives other bytes")
        expect(await kernel.read("/app/new/deep/data.bin") == data, "an absolute path is another file")
        expect(
            (await output(kernel, "wc -c < new/deep/data.bin")).strip() == str(len(data)),
            "a command sees other",
        )
        await kernel.write("tool.sh", b"#!/bin/sh\necho ran\n", mode=0o755)
        expect(await output(kernel, "./tool.sh") == "ran\n", "the mode was not set")
        await kernel.write("new/deep/data.bin", b"short")
        expect(await kernel.read("new/deep/data.bin") == b"short", "the old content was not replaced")


async def files_made_by_commands_are_read(scene: Scene) -> None:
    """`read` sees what a command wrote, `list` sees it too; commands may change what `write` wrote."""
    async with scene.kernel() as kernel:
        await kernel.write("shared.txt", b"one\n")
        await output(kernel, "echo two >> shared.txt; printf '' > empty; rm hello.txt")
        expect(await kernel.read("shared.txt") == b"one\ntwo\n", "a command's change is not seen")
        expect(await kernel.read("empty") == b"", "an empty file is not read as empty")
        await refused(kernel.read("hello.txt"), FileAccessError.ABSENT)


async def relative_paths_start_at_the_workdir(scene: Scene) -> None:
    """Paths of file operations do not follow the shell's `cd`."""
    async with scene.kernel() as kernel:
        await output(kernel, "cd sub")
        expect(await kernel.read("hello.txt") == b"hello\n", "the path was taken from the shell's directory")
        expect({info.path for info in await kernel.list()} == {"hello.txt", "sub"}, "list starts elsewhere")


async def list_tells_kinds_and_depth(scene: Scene) -> None:
    """`list` gives paths below the directory, sorted, with kind, size and mode, to the depth asked for."""
    async with scene.kernel() as kernel:
        await output(
            kernel, "ln -s hello.txt link; mkfifo pipe; chmod 640 hello.txt; ln -s /nowhere dangling"
        )
        entries = {info.path: info for info in await kernel.list()}
        kinds = {path: info.kind for path, info in entries.items()}
        wanted = {
            "hello.txt": "file",
            "sub": "dir",
            "link": "symlink",
            "pipe": "other",
            "dangling": "symlink",
        }
        expect(kinds == wanted, f"the kinds are {kinds}")
        hello = entries["hello.txt"]
        expect((hello.size, hello.mode) == (6, 0o640), f"hello.txt is told as {hello}")
        deep = [info.path for info in await kernel.list(".", depth=2)]
        expect(deep == sorted(deep) and "sub/inner.txt" in deep, f"depth 2 gave {deep}")
        inner = [info.path for info in await kernel.list("sub")]
        expect(inner == ["inner.txt"], f"paths are not relative to the directory: {inner}")
        expect(len(await kernel.list(".", depth=2, max_entries=2)) == 2, "max_entries does not bound")


async def refusals_tell_their_reason(scene: Scene) -> None:
    """Absent, not a file, too large: each is a `FileAccessError` with that reason."""
    async with scene.kernel() as kernel:
        await output(kernel, "mkfifo pipe; ln -s loop loop; ln -s nothing dangling")
        for path in ("absent", "absent/below", "hello.txt/below", "loop", "dangling"):
            await refused(kernel.read(path), FileAccessError.ABSENT)
        for path in ("sub", "pipe"):
            await refused(kernel.read(path), FileAccessError.NOT_A_FILE)
        await refused(kernel.read("hello.txt", max_bytes=5), FileAccessError.TOO_LARGE)
        expect(await kernel.read("hello.txt", max_bytes=6) == b"hello\n", "exactly the limit is refused")
        await raises(kernel.write("hello.txt/below", b""), FileAccessError)
        await raises(kernel.write("sub", b""), FileAccessError)
        await raises(kernel.write("pipe", b""), FileAccessError)
        await refused(kernel.list("absent"), FileAccessError.ABSENT)
        await raises(kernel.list("hello.txt"), FileAccessError)
        for odd in ("nul\0byte", "lone\ud800surrogate", "x" * 5000):
            await refused(kernel.read(odd), FileAccessError.ABSENT)
            await raises(kernel.write(odd, b""), FileAccessError)
            await raises(kernel.list(odd), FileAccessError)
        expect(await kernel.healthy(), "the kernel is not healthy after refusals")


async def links_inside_are_followed(scene: Scene) -> None:
    """A link to a file of the kernel reads as that file."""
    async with scene.kernel() as kernel:
        await output(kernel, "ln -s ../hello.txt sub/up; ln -s sub dir")
        expect(await kernel.read("sub/up") == b"hello\n", "a link to a file is not followed")
        expect(await kernel.read("dir/inner.txt") == b"inner\n", "a link to a directory is not followed")
        await kernel.write("dir/inner.txt", b"new\n")
        expect(await kernel.read("sub/inner.txt") == b"new\n", "a write does not follow the link")


async def no_link_leads_to_the_host(scene: Scene) -> None:
    """Links and `..` never make `read`, `write` or `list` reach a file of the host."""
    secret = scene.scratch / "secret.txt"
    secret.write_text("host secret")
    up = "../" * 40
    async with scene.kernel() as kernel:
        await output(
            kernel, f"ln -s {secret} out; ln -s {up}{secret} up; ln -s {scene.scratch} dir; ln -s / top"
        )
        paths = (
            "out",
            "up",
            "dir/secret.txt",
            f"top{secret}",
            str(secret),
            f"{up}{str(secret)[1:]}",
            f"sub/{up}{secret}",
        )
        for path in paths:
            try:
                seen = await kernel.read(path)
            except FileAccessError:
                continue
            expect(b"host secret" not in seen, f"{path} reads a file of the host")
        for path in ("dir", str(scene.scratch), f"top{scene.scratch}"):
            await _does_not_list(kernel, path)
        for path in paths:
            try:
                await kernel.write(path, b"changed")
            except FileAccessError:
                continue
    expect(secret.read_text() == "host secret", "a file of the host was changed")


async def mounts_are_read_only_and_hide(scene: Scene) -> None:
    """A mount shows the host's directory in place of the snapshot's, and neither can be changed through it."""
    source = _mountable(scene)
    async with scene.kernel(
        mounts=[ReadOnlyMount(source, "/app/sub"), ReadOnlyMount(source, "/mnt/new")]
    ) as kernel:
        expect(
            {info.path for info in await kernel.list("sub")} == {"run.sh", "data"},
            "what was there still shows",
        )
        expect(
            await output(kernel, "bash sub/run.sh; cat sub/data/x") == "from the mount\nx\n",
            "commands see other",
        )
        expect(await kernel.read("/mnt/new/data/x") == b"x\n", "read does not see the mount")
        for path in ("sub/run.sh", "sub/added", "/mnt/new/data/added"):
            await refused(kernel.write(path, b"changed"), FileAccessError.DENIED)
        await kernel.run(
            "echo changed > sub/run.sh; echo more > sub/added; rm -rf sub/data; mv sub elsewhere"
        )
        if scene.backend.capabilities.isolated:
            expect(
                {i.path for i in await kernel.list("sub")} == {"run.sh", "data"},
                "a command changed the mount",
            )
    expect({path.name for path in source.iterdir()} == {"run.sh", "data"}, "the host's directory was changed")
    expect((source / "run.sh").read_text() == "echo from the mount\n", "the host's file was changed")


async def mounts_are_no_part_of_snapshots(scene: Scene) -> None:
    """What a mount hid is in the snapshot, what it showed is not."""
    source = _mountable(scene)
    base = await scene.base()
    async with scene.kernel(
        base, mounts=[ReadOnlyMount(source, "/app/sub"), ReadOnlyMount(source, "/mnt/new")]
    ) as kernel:
        same = await kernel.snapshot()
        expect(same.digest == base.digest, "mounting alone made another state")
        await output(kernel, "echo more > more.txt")
        snapshot = await kernel.snapshot()
    async with scene.kernel(snapshot) as kernel:
        seen = {info.path for info in await kernel.list(".", depth=3)}
        expect(seen == {"hello.txt", "more.txt", "sub", "sub/inner.txt"}, f"the state holds {sorted(seen)}")
        await raises(kernel.list("/mnt/new"), FileAccessError)


def _mountable(scene: Scene) -> Path:
    source = scene.scratch / "mounted"
    (source / "data").mkdir(parents=True)
    (source / "run.sh").write_text("echo from the mount\n")
    (source / "data" / "x").write_text("x\n")
    return source


async def _does_not_list(kernel: Kernel, path: str) -> None:
    try:
        seen = {info.path for info in await kernel.list(path)}
    except FileAccessError:
        return
    expect("secret.txt" not in seen, f"{path} lists a directory of the host")


BEHAVIOURS = (
    files_round_trip,
    files_made_by_commands_are_read,
    relative_paths_start_at_the_workdir,
    list_tells_kinds_and_depth,
    refusals_tell_their_reason,
    links_inside_are_followed,
    no_link_leads_to_the_host,
    mounts_are_read_only_and_hide,
    mounts_are_no_part_of_snapshots,
)
