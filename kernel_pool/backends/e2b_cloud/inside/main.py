"""One request to the agent inside the sandbox: `python3 -I -S AGENT REQUEST`.

REQUEST is base64 of JSON, or `@name` of a file in the agent's room that holds it (and is removed). The agent runs
as root where E2B allows it and does everything in the name of the kernel's user, so that commands can neither
end it nor look into its room.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import Any

from ...local.inside import files
from . import command, mounts, states, wire
from .identity import Identity

ROOM = "/.rollout-fork"


def main() -> None:
    """Answer the request on the command line."""
    os.umask(0o022)
    try:
        os.chmod(ROOM, 0o711)
    except PermissionError:
        pass  # another user's: only where the agent is not root
    request = _request(sys.argv[1])
    try:
        answer = _answer(request)
    except files.Refused as refusal:
        answer = {"refused": str(refusal)}
    except ValueError as error:  # NUL or a lone surrogate, which no path can hold
        answer = {"refused": files.ABSENT} if "path" in request else {"error": str(error)}
    except (OSError, KeyError, states.TooMuch) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    wire.send_result(answer)


def _request(text: str) -> dict[str, Any]:
    if text.startswith("@"):
        request: dict[str, Any] = json.loads(_taken(text[1:]))
        return request
    loaded: dict[str, Any] = json.loads(base64.b64decode(text))
    return loaded


def _taken(name: str) -> bytes:
    """A file of the room, which is removed."""
    path = os.path.join(ROOM, os.path.basename(name))
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    return content


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    who = Identity.of(request.get("user"))
    operation = request["op"]
    if operation == "hello":
        return {"uid": who.uid, "home": who.home, "name": who.name, "python": sys.version.split()[0]}
    if operation == "run":
        stdin = _taken(request["blob"]) if "blob" in request else b""
        outcome = command.run(request, stdin, who)
        mounts.mend(ROOM)
        return outcome
    if operation == "sweep":
        command.sweep(who, everything=True)
        mounts.mend(ROOM)
        return {}
    if operation in ("read", "write", "list"):
        return _file_operation(operation, request, who)
    if operation == "copy_in":
        states.copy_in(os.path.join(ROOM, os.path.basename(request["archive"])), request["directories"], who)
        return {}
    if operation == "own":
        states.own([*request["paths"], who.home], who)
        return {}
    if operation == "show":  # a file that the user may read
        path = os.path.join(ROOM, os.path.basename(request["name"]))
        os.chmod(path, 0o644)
        return {"path": path}
    if operation == "drop":
        os.unlink(os.path.join(ROOM, os.path.basename(request["name"])))
        return {}
    if operation == "places":
        return {"places": states.places(who, ROOM)}
    if operation == "scan":
        return states.scan(request["places"], ROOM)
    if operation == "hash":
        return {"hashes": [states.content(path) for path in request["paths"]]}
    if operation == "pack":
        states.pack(request["entries"])
        return {}
    if operation == "lay":
        mounts.lay(ROOM, request["mounts"])
        return {}
    if operation == "unlay":
        mounts.unlay(ROOM)
        return {}
    return {"error": f"no operation {operation!r}"}


def _file_operation(operation: str, request: dict[str, Any], who: Identity) -> dict[str, Any]:
    path = request["path"]
    data = _taken(request["blob"]) if "blob" in request else b""
    if operation == "write" and mounts.covers(ROOM, path):
        raise files.Refused(files.DENIED)
    who.become()
    if operation == "read":
        wire.send(b"b", files.read(path, request["max_bytes"]))
        return {}
    if operation == "write":
        files.write(path, data, request["mode"])
        return {}
    return {"entries": files.listing(path, request["depth"], request["max_entries"])}
