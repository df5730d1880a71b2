"""A model server on this machine, to test against with the real SDKs: replies from a script, faults on demand.

    async with LoopbackModelServer(["Hello.", Reply(calls=(Call("bash", {"command": "ls"}),))]) as server:
        policy = make_policy("openai", {"model": "any", "base_url": server.url + "/v1"})
        ...                                        # anthropic: base_url=server.url
        assert server.requests[0].body["messages"]

It speaks `POST /v1/messages` (Anthropic) and `POST /v1/chat/completions` (OpenAI), streamed and not, on
127.0.0.1 and a free port. `with` instead of `async with` runs it in a thread, for code that is not async.
"""

from __future__ import annotations

from .script import Call, Fault, ModelRequest, Reply
from .server import LoopbackModelServer

__all__ = ["Call", "Fault", "LoopbackModelServer", "ModelRequest", "Reply"]
