"""E2B on this machine, to test against with the real SDK: its REST API and its envd, over local kernels.

    async with E2BServer(tmp_path) as server:
        sandbox = await AsyncSandbox.create(timeout=60, **server.connection)     # the SDK, as it is
        assert (await sandbox.commands.run("echo hello")).stdout == "hello\\n"

        server.fail("create", Fault(status=429, headers={"Retry-After": "1"}))   # the next create, once
        server.fail("start", Fault(drop_after=100))                              # a stream that breaks
        await server.die(sandbox.sandbox_id)                                     # a sandbox that dies

It listens on 127.0.0.1 and a free port. `server.calls` tells what was asked, `server.live` what is left,
`server.peak` how many ran at once. `second_s` is how long a second of a lifetime takes: 0.1 makes them ten times
shorter. What is different from the real one, because a local kernel is no micro-VM:

- Sandboxes have no memory: a fork and a snapshot restore files, processes do not go on in them.
- A sandbox does one thing at a time: a second command, a file call or a fork waits until the first one has ended.
- There is one user, whoever is asked for. There is no network. CPU and memory of a template are not modelled.
- A command started with stdin runs when its stdin is closed, with everything that was sent.
- Every signal ends a command at once. PTY, WatchDir, StreamInput, Connect and Update are not there (501).
"""

from __future__ import annotations

from .faults import Fault
from .server import E2BServer

__all__ = ["E2BServer", "Fault"]
