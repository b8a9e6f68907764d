"""The two accounts of a machine, and the environment that a login of theirs has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    home: str
    path: str

    @property
    def environment(self) -> dict[str, str]:
        """What a login through ssh would have set."""
        names = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "PATH": self.path}
        login = {**names, "SHELL": "/bin/bash", "LANG": "C.UTF-8", "TERM": "dumb"}
        if self.uid == 0:
            return login
        runtime = f"/run/user/{self.uid}"
        bus = f"unix:path={runtime}/bus"
        return {**login, "XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": bus}


SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
ACCOUNTS = {
    "root": Account("root", 0, "/root", f"/usr/local/sbin:/usr/sbin:/sbin:{SYSTEM_PATH}"),
    "debian": Account(
        "debian",
        1000,
        "/home/debian",
        f"/home/debian/.local/bin:/home/debian/.npm-global/bin:{SYSTEM_PATH}",
    ),
}
