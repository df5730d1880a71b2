"""States as images: equal files give equal digests however they were reached, and every state can be forked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from docker_support import address, back_end, client  # noqa: F401 - fixtures

from kernel_pool import BaseSpec, CopyIn, ReadOnlyMount, Snapshot
from kernel_pool.backends.docker import DockerBackend
from kernel_pool.backends.docker_engine import states
from kernel_pool.kernel import snapshot_digest

# ruff: noqa: F811 - a fixture is a parameter of the same name
pytestmark = pytest.mark.asyncio(loop_scope="module")

_TREE = 'cd /app; shopt -s dotglob; for f in * */* */*/*; do stat -c \'%n %F %a %u:%g %s\' "$f"; [ -f "$f" ] && sha256sum <"$f"; done'


async def _base(back_end: DockerBackend, tmp_path: Path) -> Snapshot:
    source = tmp_path / "source"
    (source / "sub" / "deep").mkdir(parents=True, exist_ok=True)
    for name in ("a", "b", "sub/c", "sub/d", "sub/deep/e"):
        (source / name).write_text(f"{name}\n")
    (source / "unique").write_text(
        str(tmp_path)
    )  # states of other tests, and of other runs, are none of these
    return await back_end.prepare(BaseSpec(steps=(CopyIn(source, "/app"),)))


async def _state(
    back_end: DockerBackend, start: Snapshot, command: str, mounts: list[ReadOnlyMount] | None = None
) -> Snapshot:
    kernel = await back_end.start(start, mounts=mounts or [])
    try:
        result = await kernel.run(["bash", "-c", command])
        assert result.ok, result
        return await kernel.snapshot()
    finally:
        await kernel.close()


async def _tree(back_end: DockerBackend, snapshot: Snapshot) -> str:
    kernel = await back_end.start(snapshot)
    try:
        return (await kernel.run(["bash", "-c", _TREE])).stdout.decode(errors="replace")
    finally:
        await kernel.close()


async def test_equal_files_give_equal_digests_however_they_were_reached(
    back_end: DockerBackend, tmp_path: Path
) -> None:
    base = await _base(back_end, tmp_path)
    straight = await _state(back_end, base, "echo new >a; rm b; mkdir x; echo y >x/y; rm -r sub/deep")
    detour = base
    for command in (
        "rm -r sub; echo odd >sub; echo 1 >a",
        "rm sub; mkdir sub; echo sub/c >sub/c; echo sub/d >sub/d; mkdir x; mkfifo x/gone; touch /tmp/t; chmod 600 a",
        "rm b x/gone /tmp/t; echo new >a; chmod 644 a; echo y >x/y; chmod 755 sub; mkdir /etc/more; rmdir /etc/more",
    ):
        detour = await _state(back_end, detour, command)
    assert detour.layers == straight.layers
    assert await _tree(back_end, detour) == await _tree(back_end, straight)
    back = await _state(
        back_end, straight, "echo a >a; echo b >b; rm -r x; mkdir sub/deep; echo sub/deep/e >sub/deep/e"
    )
    assert back == base


async def test_mode_owner_links_and_odd_names_are_part_of_a_state(
    back_end: DockerBackend, tmp_path: Path
) -> None:
    base = await _base(back_end, tmp_path)
    seen = {base.digest}
    for command in (
        "chmod 640 a",
        "chown 7:8 a",
        "rm a; ln -s b a",
        "rm a; mkfifo a",
        "printf x >$'\\xff\\xfe'",
        "printf x >'sp ace\n'",
        "rm -r sub; ln -s / sub",
    ):
        state = await _state(back_end, base, command)
        assert state.digest not in seen, command
        seen.add(state.digest)
        assert (await _state(back_end, state, "true")) == state, command
        assert (await _state(back_end, base, command)) == state, command
        assert await _tree(back_end, state) != await _tree(back_end, base), command
    assert (await _state(back_end, base, "touch a; cp a z; rm z; echo a >a")) == base


async def test_a_state_made_beside_a_mount_is_that_state_without_it(
    back_end: DockerBackend, tmp_path: Path
) -> None:
    base = await _base(back_end, tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "t").write_text("mounted\n")
    mounts = [
        ReadOnlyMount(tmp_path / "tests", "/app/sub"),
        ReadOnlyMount(tmp_path / "tests", "/mnt/far/away"),
    ]
    command = (
        "rm b; mkdir -p new/dir; chown 3:4 new; echo n >new/dir/n; ln -s n new/dir/l; chmod 2750 new/dir"
    )
    beside = await _state(back_end, base, command, mounts)
    assert beside.layers == (await _state(back_end, base, command)).layers
    assert "new/dir directory 2750" in await _tree(back_end, beside)


async def test_deep_chains_are_flattened_and_keep_every_state(
    back_end: DockerBackend, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "MAX_LAYERS", 4)
    await _chain(back_end, await _base(back_end, tmp_path), 9, address, most=5)


@pytest.mark.slow
@pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes more than a minute: set LONG_TESTS")
async def test_a_chain_of_150_forks_keeps_every_state(
    back_end: DockerBackend, tmp_path: Path, address: str
) -> None:
    await _chain(back_end, await _base(back_end, tmp_path), 150, address, most=states.MAX_LAYERS + 1)


async def _chain(back_end: DockerBackend, start: Snapshot, length: int, address: str, most: int) -> None:
    chain = [start]
    for step in range(length):
        command = f"echo {step} >step{step}; echo {step} >>log; rm -f step{step - 2} sub/{'cde'[step % 3]}"
        chain.append(await _state(back_end, chain[-1], command))
    assert len({state.digest for state in chain}) == length + 1
    with client(address) as api:
        names = [f"{states.STATES}:{snapshot_digest(state.base, state.layers, '')}" for state in chain[1:]]
        assert max(len(api.inspect_image(name)["RootFS"]["Layers"]) for name in names) <= most
    for step in (length, length // 2, 1):
        kernel = await back_end.start(chain[step])
        try:
            assert await kernel.read("log") == "".join(f"{n}\n" for n in range(step)).encode()
            kept = {info.path for info in await kernel.list() if info.path.startswith("step")}
            assert kept == {f"step{n}" for n in (step - 2, step - 1) if n >= 0}
        finally:
            await kernel.close()


async def test_a_file_named_like_a_deletion_deletes_nothing_in_a_fork(
    back_end: DockerBackend, tmp_path: Path
) -> None:
    base = await _base(back_end, tmp_path)
    state = await _state(
        back_end, base, "echo n >n; : >.wh.a; mkdir d; : >d/.wh..wh..opq; : >sub/.wh..wh..opq"
    )
    assert state.layers == (await _state(back_end, base, "echo n >n; mkdir d")).layers
    kernel = await back_end.start(state)
    try:
        assert {info.path for info in await kernel.list()} == {"a", "b", "d", "n", "sub", "unique"}
        assert await kernel.read("sub/c") == b"sub/c\n"
    finally:
        await kernel.close()


@pytest.mark.slow
async def test_many_changes_are_frozen_and_exported(back_end: DockerBackend, tmp_path: Path) -> None:
    base = await _base(back_end, tmp_path)
    state = await _state(
        back_end,
        base,
        "for n in {1..120}; do echo $n >n$n; done; mkdir d; for n in {1..120}; do echo $n >d/$n; done",
    )
    archive = tmp_path / "layer.tar"
    await back_end.export(state, archive)
    assert await back_end.load(base, archive) == state


async def test_programs_that_were_replaced_do_not_deceive_about_the_files(
    back_end: DockerBackend, tmp_path: Path
) -> None:
    base = await _base(back_end, tmp_path)
    fake = (
        "for p in stat head sha256sum; do printf '#!/bin/bash\\nexit 0\\n' >/usr/bin/$p; done; echo evil >a"
    )
    state = await _state(back_end, base, fake)
    assert state.digest != base.digest
    kernel = await back_end.start(state)
    try:
        assert (await kernel.run(["cat", "a"])).stdout == b"evil\n"
    finally:
        await kernel.close()
