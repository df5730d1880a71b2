"""What `run` promises about commands that end by themselves, and about cancelling them."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from .scene import Scene, brief, expect, output


async def the_shell_keeps_directory_variables_and_functions(scene: Scene) -> None:
    """What one string leaves behind in the shell is there for the next one."""
    async with scene.kernel() as kernel:
        await output(
            kernel, "cd sub; export EXPORTED=e1; plain='p 2'; greet() { echo \"hi $1\"; }; alias ll='ls -a'"
        )
        seen = await output(kernel, 'cat inner.txt; echo "$EXPORTED|$plain"; greet you; printenv EXPORTED')
        expect(seen == "inner\ne1|p 2\nhi you\ne1\n", f"the next command saw {seen!r}")


async def a_failing_or_exiting_string_keeps_the_shell(scene: Scene) -> None:
    """`exit`, a failure and a syntax error give their exit code and do not end the shell's state."""
    async with scene.kernel() as kernel:
        first = await kernel.run("kept=yes; exit 7")
        expect(first.exit_code == 7, f"exit 7 gave {brief(first)}")
        broken = await kernel.run("if then")
        expect(not broken.ok and broken.ended == "exited", f"a syntax error gave {brief(broken)}")
        expect(await output(kernel, 'echo "$kept"') == "yes\n", "the variable set before `exit` is gone")


async def a_sequence_is_untouched_by_the_shell(scene: Scene) -> None:
    """A sequence runs as it is: no expansion, in the base's workdir and variables."""
    async with scene.kernel() as kernel:
        await output(kernel, "cd sub; export BASE_VARIABLE=changed; PATH=/nowhere")
        seen = await output(kernel, ["printf", "%s|", "$HOME", "a  b", "*", ""])
        expect(seen == "$HOME|a  b|*||", f"the arguments arrived as {seen!r}")
        expect(await output(kernel, ["cat", "hello.txt"]) == "hello\n", "it ran in another directory")
        seen = await output(kernel, ["printenv", "BASE_VARIABLE"])
        expect(seen == "of the base\n", f"it saw the shell's variable: {seen!r}")


async def exit_codes_and_both_streams_arrive(scene: Scene) -> None:
    """Exit code, stdout and stderr are what the command gave, byte for byte."""
    async with scene.kernel() as kernel:
        result = await kernel.run(r"printf 'out\0\xff\r\n'; printf 'err\n' >&2; exit 42")
        expect(result.exit_code == 42 and result.ended == "exited", brief(result))
        expect(result.stdout == b"out\0\xff\r\n" and result.stderr == b"err\n", brief(result))
        expect(not result.ok and result.wall_s > 0, brief(result))


async def a_killed_command_tells_its_signal(scene: Scene) -> None:
    """A command that dies of a signal has ended "signalled", without exit code."""
    async with scene.kernel() as kernel:
        result = await kernel.run(["bash", "-c", "kill -9 $$"])
        expect((result.ended, result.signal, result.exit_code) == ("signalled", 9, None), brief(result))


async def an_unknown_command_is_a_result(scene: Scene) -> None:
    """A program that does not exist gives exit code 127, as a string and as a sequence."""
    async with scene.kernel() as kernel:
        for result in (await kernel.run("no-such-program-here"), await kernel.run(["no-such-program-here"])):
            expect(result.ended == "exited" and result.exit_code == 127, brief(result))


async def text_that_no_program_can_be_given_is_a_result(scene: Scene) -> None:
    """NUL and lone surrogates in a command, `cwd` or `env` are the command's trouble, not the kernel's."""
    async with scene.kernel() as kernel:
        for odd in ("a\0b", "a\ud800b"):
            for result in (
                await kernel.run(f"echo {odd}"),
                await kernel.run(["echo", odd]),
                await kernel.run("true", env={"ODD": odd}),
                await kernel.run(["true"], env={"ODD": odd}),
                await kernel.run("true", cwd=odd),
            ):
                expect(result.ended == "exited", f"{odd!r} gave {brief(result)}")
        expect(await kernel.healthy(), "the kernel is not healthy afterwards")
        expect(await output(kernel, "echo on") == "on\n", "the next command fails")


async def stdin_arrives_whole_and_ends(scene: Scene) -> None:
    """The given bytes are the command's standard input; without any it is empty."""
    async with scene.kernel() as kernel:
        data = bytes(range(256)) * 4096
        result = await kernel.run(["wc", "-c"], stdin=data)
        expect(result.stdout.split() == [b"1048576"], brief(result))
        result = await kernel.run("cat", stdin=b"a\0b")
        expect(result.stdout == b"a\0b", brief(result))
        result = await kernel.run("cat; echo end")
        expect(result.stdout == b"end\n", brief(result))


async def cwd_and_env_of_a_call_hold(scene: Scene) -> None:
    """`cwd` (relative to the workdir) and `env` hold for the command; `env` is gone after it."""
    async with scene.kernel() as kernel:
        for command in ('cat inner.txt; echo "$EXTRA"', ["bash", "-c", 'cat inner.txt; echo "$EXTRA"']):
            result = await kernel.run(command, cwd="sub", env={"EXTRA": "it's; $HOME"})
            expect(result.stdout == b"inner\nit's; $HOME\n", brief(result))
        seen = await output(kernel, 'echo "[$EXTRA]"')
        expect(seen == "[]\n", f"the variable of the call before is still there: {seen!r}")
        missing = await kernel.run(["true"], cwd="no-such-directory")
        expect(not missing.ok and missing.ended == "exited", brief(missing))


async def output_is_streamed(scene: Scene) -> None:
    """`on_output` is called while the command runs, with all of its output in order."""
    seen: list[tuple[Literal["stdout", "stderr"], bytes]] = []
    first: list[float] = []

    def sink(stream: Literal["stdout", "stderr"], data: bytes) -> None:
        first.append(time.monotonic())
        seen.append((stream, data))

    async with scene.kernel() as kernel:
        result = await kernel.run("echo one; echo two >&2; sleep 0.5; echo three", on_output=sink)
    ended = time.monotonic()
    expect(bool(seen) and ended - first[0] > 0.3, "nothing was passed on before the command had ended")
    for stream, whole in (("stdout", result.stdout), ("stderr", result.stderr)):
        passed = b"".join(data for name, data in seen if name == stream)
        expect(passed == whole, f"{stream} was passed on as {passed!r}, the result has {whole!r}")


async def background_processes_end_with_their_command(scene: Scene) -> None:
    """Whatever a command leaves running is killed when it ends, in its session or not."""
    async with scene.kernel() as kernel:
        started = time.monotonic()
        await output(
            kernel,
            "(sleep 0.4; echo late > late1) & setsid bash -c 'sleep 0.4; echo late > late2' & nohup sleep 50 & true",
        )
        expect(time.monotonic() - started < 5.0, "the command waited for its background processes")
        await asyncio.sleep(0.7)
        seen = {info.path for info in await kernel.list()}
        expect(not seen & {"late1", "late2"}, f"they went on and made {sorted(seen)}")


async def cancelling_kills_the_command_and_keeps_the_kernel(scene: Scene) -> None:
    """Cancelling `run` ends the command and its children at once; the kernel stays usable."""
    async with scene.kernel() as kernel:
        await output(kernel, "kept=yes")
        for command in ("(sleep 0.8; echo late > late) & sleep 50", ["sleep", "50"]):
            running = asyncio.ensure_future(kernel.run(command))
            await asyncio.sleep(0.25)
            started = time.monotonic()
            running.cancel()
            await asyncio.wait({running}, timeout=10.0)
            expect(running.cancelled(), "the call did not end as cancelled")
            expect(time.monotonic() - started < 5.0, "ending it took more than 5 s")
        expect(await kernel.healthy(), "the kernel is not healthy any more")
        expect(await output(kernel, 'echo "$kept"') == "yes\n", "the shell's state is gone")
        await asyncio.sleep(0.7)
        expect("late" not in {info.path for info in await kernel.list()}, "a child of it went on")


BEHAVIOURS = (
    the_shell_keeps_directory_variables_and_functions,
    a_failing_or_exiting_string_keeps_the_shell,
    a_sequence_is_untouched_by_the_shell,
    exit_codes_and_both_streams_arrive,
    a_killed_command_tells_its_signal,
    an_unknown_command_is_a_result,
    text_that_no_program_can_be_given_is_a_result,
    stdin_arrives_whole_and_ends,
    cwd_and_env_of_a_call_hold,
    output_is_streamed,
    background_processes_end_with_their_command,
    cancelling_kills_the_command_and_keeps_the_kernel,
)
