"""In whose name things are done."""

from __future__ import annotations

import os
import pwd
from typing import NamedTuple

_USUAL = "user"  # who E2B's own templates run commands as


class Identity(NamedTuple):
    """A user of the sandbox, as the agent can act for it."""

    uid: int
    gid: int
    name: str
    home: str
    other: bool  #: it is not who the agent runs as, so that the agent has to become it

    @staticmethod
    def of(name: str | None) -> Identity:
        """The named user; without a name E2B's usual one, or whoever runs the agent. Raises `KeyError`."""
        me = os.geteuid()
        try:
            found = pwd.getpwnam(name or _USUAL)
        except KeyError:
            if name:
                raise KeyError(f"the template has no user {name!r}") from None
            return Identity._me()
        other = found.pw_uid != me
        if other and me != 0:
            if name:
                raise PermissionError(f"the agent is not root and cannot become {name!r}")
            return Identity._me()
        return Identity(found.pw_uid, found.pw_gid, found.pw_name, found.pw_dir, other)

    @staticmethod
    def _me() -> Identity:
        home = os.environ.get("HOME", "/")
        return Identity(os.geteuid(), os.getegid(), os.environ.get("USER", "user"), home, other=False)

    def become(self) -> None:
        """Be this user from now on; there is no way back."""
        if self.other:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)

    def groups(self) -> set[int]:
        """Every group it is in."""
        return set(os.getgrouplist(self.name, self.gid)) if self.other else {self.gid, *os.getgroups()}

    def environment(self) -> dict[str, str]:
        """What the template gives every process, without what belongs to this one or to this sandbox."""
        own = ("HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "_", "MAIL", "HOSTNAME")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in own and not name.startswith(("E2B_", "SUDO_", "BASH_"))
        }
        shell = "/bin/bash"
        return {**kept, "HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": shell}
