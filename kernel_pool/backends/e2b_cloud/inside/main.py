"""One request to the agent inside the sandbox: `python3 -I -S AGENT REQUEST`, AGENT a directory of the room.

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
from . import wire
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
    except (OSError, KeyError) as error:
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
    path = _in_room(name)
    with open(path, "rb") as file:
        content = file.read()
    os.unlink(path)
    return content


def _in_room(name: str) -> str:
    return os.path.join(ROOM, os.path.basename(name))


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Modules are imported where they are used: a command pays for what it needs."""
    who = Identity.of(request.get("user"))
    operation = request["op"]
    if operation in ("read", "write", "list"):
        return _file_operation(operation, request, who)
    if operation in ("run", "sweep"):
        return _command(operation, request, who)
    if operation in ("lay", "unlay"):
        from . import mounts

        mounts.lay(ROOM, request["mounts"]) if operation == "lay" else mounts.unlay(ROOM)
        return {}
    if operation == "hello":
        return {"uid": who.uid, "home": who.home, "name": who.name, "python": sys.version.split()[0]}
    if operation == "show":  # a file that the user may read
        os.chmod(_in_room(request["name"]), 0o644)
        return {"path": _in_room(request["name"])}
    if operation == "drop":
        os.unlink(_in_room(request["name"]))
        return {}
    return _state_operation(operation, request, who)


def _command(operation: str, request: dict[str, Any], who: Identity) -> dict[str, Any]:
    from . import command

    outcome: dict[str, Any] = {}
    if operation == "run":
        outcome = command.run(request, _taken(request["blob"]) if "blob" in request else b"", who)
    else:
        command.sweep(who)
    if os.path.exists(os.path.join(ROOM, "mounts.json")):
        from . import mounts

        mounts.mend(ROOM)
    return outcome


def _state_operation(operation: str, request: dict[str, Any], who: Identity) -> dict[str, Any]:
    from . import states

    if operation == "copy_in":
        states.copy_in(_in_room(request["archive"]), request["directories"], who)
        return {}
    if operation == "own":
        states.own([*request["paths"], who.home], who)
        return {}
    if operation == "places":
        return {"places": states.places(who, ROOM)}
    if operation == "scan":
        return states.scan(request["places"], ROOM, request["since"])
    if operation == "hash":
        return {"hashes": [states.content(path) for path in request["paths"]]}
    if operation == "pack":
        states.pack(request["entries"])
        return {}
    return {"error": f"no operation {operation!r}"}


def _file_operation(operation: str, request: dict[str, Any], who: Identity) -> dict[str, Any]:
    path = request["path"]
    data = _taken(request["blob"]) if "blob" in request else b""
    if operation == "write" and os.path.exists(os.path.join(ROOM, "mounts.json")):
        from . import mounts

        if mounts.covers(ROOM, path):
            raise files.Refused(files.DENIED)
    who.become()
    if operation == "read":
        wire.send(b"b", files.read(path, request["max_bytes"]))
        return {}
    if operation == "write":
        files.write(path, data, request["mode"])
        return {}
    return {"entries": files.listing(path, request["depth"], request["max_entries"])}
