"""A fork is a real fork: siblings share everything below and see nothing of one another."""

from __future__ import annotations

from pathlib import Path

from local_support import kernel, local, shell

from kernel_pool import BaseSpec, CopyIn, ReadOnlyMount, RunStep

TREE = (
    "mkdir -p d/sub; echo one > d/one; echo two > d/sub/two; echo top > top; ln -s top link; chmod 600 d/one"
)
WHOLE = r"find . -mindepth 1 -printf '%p %y %m %l ' \( -type f -exec cat {} \; -o -printf '\n' \) | sort"


async def test_siblings_do_not_see_each_others_writes_deletions_and_renames() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, TREE)
        snapshot = await parent.snapshot()
        a, b, c = [await backend.start(snapshot) for _ in range(3)]
        before = await shell(c, WHOLE)
        await shell(a, "echo changed > top; rm -r d; echo new > fresh")
        await shell(b, "mv d e; rm -r e/sub; mkdir e/sub; echo other > e/sub/other")
        assert await shell(c, WHOLE) == before
        assert (await shell(a, "cat top; ls")).split() == ["changed", "fresh", "link", "top"]
        assert (await shell(b, "cat top; find e")).split() == ["top", "e", "e/one", "e/sub", "e/sub/other"]


async def test_a_fork_of_a_fork_has_both_changes_and_a_directory_made_anew_hides_the_old_one() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, TREE)
        child = await backend.start(await parent.snapshot())
        await shell(child, "rm -r d; mkdir d; echo three > d/three; rm link")
        grandchild = await backend.start(await child.snapshot())
        assert (await shell(grandchild, "find . | sort")).split() == [".", "./d", "./d/three", "./top"]
        await shell(grandchild, "echo four > d/four; rm d/three")
        last = await backend.start(await grandchild.snapshot())
        assert (await shell(last, "find . | sort")).split() == [".", "./d", "./d/four", "./top"]
        assert (await shell(last, WHOLE)) == await shell(grandchild, WHOLE)


async def test_what_the_parent_does_after_the_snapshot_is_not_seen_by_the_child() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, "echo v1 > file")
        snapshot = await parent.snapshot()
        child = await backend.start(snapshot)
        await shell(parent, "echo v2 > file; echo more >> other")
        assert await shell(child, "cat file; ls") == "v1\nfile\n"
        later = await backend.start(snapshot)
        assert await shell(later, "cat file; ls") == "v1\nfile\n"


async def test_a_snapshot_of_an_unchanged_kernel_is_the_same_snapshot() -> None:
    async with kernel() as (_backend, base, parent):
        assert await parent.snapshot() is base
        await shell(parent, "true; ls >/dev/null")
        assert await parent.snapshot() is base
        await shell(parent, "echo x > x")
        first = await parent.snapshot()
        assert first != base
        await parent.run(["cat", "x"])
        assert await parent.snapshot() is first


async def test_the_digest_does_not_depend_on_the_way_to_a_state() -> None:
    async with kernel() as (backend, base, direct):
        await shell(direct, TREE)
        at_once = await direct.snapshot()
        stepwise = await backend.start(base)
        for command in (
            "echo one > d1; mkdir d; mv d1 d/one",
            "chmod 600 d/one",
            "mkdir d/sub; ln -s top link",
            "echo x > y",
        ):
            await shell(stepwise, command)
            await stepwise.snapshot()
        forked = await backend.start(await stepwise.snapshot())
        await shell(forked, "rm y; echo two > d/sub/two; echo top > top")
        assert (await forked.snapshot()).digest == at_once.digest
        await shell(forked, "rm -rf d top link")
        assert (await forked.snapshot()).digest == base.digest


async def test_the_same_size_written_twice_within_one_clock_tick_is_noticed() -> None:
    async with kernel() as (_backend, _base, live):
        digests = set()
        for number in range(10):
            await live.write("f", b"%d" % number)
            digests.add((await live.snapshot()).digest)
        assert len(digests) == 10


async def test_the_shells_state_travels_with_a_fork_and_a_sequence_ignores_it() -> None:
    async with kernel() as (backend, _base, parent):
        await parent.run(
            "export A='x y'; B=$'two\\nlines'; arr=(1 '2 3'); declare -A m=([k]=v); f() { echo \"f $1 $A\"; };"
            " alias hello='echo hi'; shopt -s extglob; set -u; umask 077; cd /tmp; exit 4"
        )
        child = await backend.start(await parent.snapshot())
        said = await shell(
            child,
            'echo "$A|$B|${arr[1]}|${m[k]}|$PWD|$(umask)"; f 7; hello; case ab in @(ab|c)) echo ext;; esac; set +u',
        )
        assert said == "x y|two\nlines|2 3|v|/tmp|0077\nf 7 x y\nhi\next\n"
        assert (await child.run(["sh", "-c", "pwd; echo ${A-unset}"])).stdout == b"/app\nunset\n"


async def test_environment_given_for_one_shell_command_holds_for_that_command_only() -> None:
    async with kernel() as (_backend, base, live):
        assert (await live.run("echo $V", env={"V": "it's"})).stdout == b"it's\n"
        assert (await live.run("echo ${V-unset}")).stdout == b"unset\n"
        assert await live.snapshot() is base
        await live.run("V=mine; export W=1")
        await live.run("true", env={"V": "yours"})
        assert (await live.run("echo $V $W")).stdout == b"mine 1\n"


async def test_hard_links_holes_times_and_attributes_survive_a_fork() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(
            parent,
            "echo x > a; ln a b; truncate -s 100M hole; echo end >> hole; touch -d 2001-02-03 a; mkfifo pipe;"
            " setfattr -n user.note -v hello a 2>/dev/null || python3 -c \"import os; os.setxattr('a','user.note',b'hello')\"",
        )
        child = await backend.start(await parent.snapshot())
        look = (
            "stat -c '%h %i' a b | sort -u | wc -l; stat -c %Y a; stat -c %F pipe; du -k hole | cut -f1; stat -c %s hole;"
            " python3 -c \"import os; print(os.getxattr('a','user.note'))\""
        )
        lines = (await shell(child, look)).split("\n")
        assert lines[0] == "1"
        assert lines[1:3] == [(await shell(parent, "stat -c %Y a")).strip(), "fifo"]
        assert int(lines[3]) < 100
        assert lines[4:6] == [str(100 * 1024 * 1024 + 4), "b'hello'"]
        assert (await child.snapshot()).digest == (await parent.snapshot()).digest


async def test_closed_modes_are_frozen_and_forked_like_any_other() -> None:
    async with kernel() as (backend, _base, parent):
        await shell(parent, "echo secret > f; mkdir d; echo inner > d/f; chmod 000 f d")
        child = await backend.start(await parent.snapshot())
        assert (await shell(child, "stat -c %a f d; chmod 700 f d; cat f d/f")).split() == [
            "0",
            "0",
            "secret",
            "inner",
        ]


async def test_export_and_load_give_the_same_state(tmp_path: Path) -> None:
    async with local() as backend:
        first = await backend.prepare(
            BaseSpec(steps=(RunStep("mkdir -p old/deep; echo o > old/deep/f; echo gone > gone"),))
        )
        live = await backend.start(first)
        await shell(
            live,
            f"{TREE}; rm gone; rm -r old; mkdir old; echo n > old/n; ln top hard; mkfifo p; chmod 500 d; export K=1",
        )
        snapshot = await live.snapshot()
        await backend.export(snapshot, tmp_path / "layer.tar")
        loaded = await backend.load(first, tmp_path / "layer.tar", env=snapshot.env)
        assert loaded.digest == snapshot.digest
        assert await shell(await backend.start(loaded), WHOLE) == await shell(live, WHOLE)


async def test_a_base_is_built_from_its_steps_once_and_by_content(tmp_path: Path) -> None:
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "run.sh").write_text("#!/bin/sh\necho ran $NAME\n")
    (tmp_path / "src" / "deep" / "run.sh").chmod(0o755)
    (tmp_path / "src" / "out").symlink_to("/etc/shadow")
    (tmp_path / "one.txt").write_text("1\n")
    spec = BaseSpec(
        image="python:3.11-slim",
        workdir="/work/dir",
        env={"NAME": "x"},
        steps=(
            CopyIn(tmp_path / "src", "/work/dir"),
            CopyIn(tmp_path / "one.txt", "/etc/one"),
            RunStep("deep/run.sh > said; date +%N > built"),
        ),
    )
    async with local() as backend:
        base = await backend.prepare(spec)
        live = await backend.start(base)
        assert await shell(live, "pwd; cat said /etc/one; readlink out; test -e out || echo dangling") == (
            "/work/dir\nran x\n1\n/etc/shadow\ndangling\n"
        )
        assert await backend.prepare(spec) == base
        (tmp_path / "one.txt").write_text("2\n")
        assert await backend.prepare(spec) != base


async def test_a_read_only_mount_hides_what_is_there_and_stays_out_of_snapshots(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "t.py").write_text("real")
    async with kernel() as (backend, _base, parent):
        await shell(parent, "ln -s /etc /tests; mkdir -p sub/tests; echo fake > sub/tests/t.py")
        snapshot = await parent.snapshot()
        mounts = [
            ReadOnlyMount(tmp_path / "tests", "/tests"),
            ReadOnlyMount(tmp_path / "tests", "/app/sub/tests"),
        ]
        child = await backend.start(snapshot, mounts=mounts)
        assert await shell(child, "cat /tests/t.py sub/tests/t.py; ls /tests") == "realrealt.py\n"
        for attack in (
            "echo x > /tests/t.py",
            "rm /tests/t.py",
            "touch /tests/new",
            'python3 -c \'import os; os.rename("/tests", "/t2")\'',
            "rm -r sub",
            "chmod 777 /tests",
        ):
            assert not (await child.run(attack)).ok, attack
        assert await shell(child, "cat /tests/t.py sub/tests/t.py") == "realreal"
        assert await child.snapshot() == snapshot
