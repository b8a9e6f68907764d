"""The host as the rest of the program sees it: whose it is, where things are, how to run something."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.paths import HostPaths, InstancePaths, host_paths
from openclaw_ocm.system.runner import Runner
from openclaw_ocm.system.whose import caller, is_foreign, runtime_of, without_foreign

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo

    from openclaw_ocm.core.names import InstanceName

_BOOTED = "/run/systemd/system"
_LOCAL_TIME = "/etc/localtime"
_UTC = ("UTC", "Etc/UTC", "Etc/UCT", "UCT", "Universal", "Etc/Universal", "Zulu", "Etc/Zulu")
# By which supervisord, whose own log is in UTC, knows a container's zone.
ZONE_VARIABLE = "OCM_ZONE"
_ANEW_SECONDS = 1.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One user on one machine; `network` is how the user's environment says that packages are fetched.

    `openclaw` are the variables in it by which an OpenClaw that the user types finds its files, `zone` is its
    TZ.
    """

    user: str
    uid: int
    paths: HostPaths
    runtime: PurePosixPath
    runner: Runner
    search_path: str
    network: Mapping[str, str] = field(default_factory=dict)
    openclaw: Mapping[str, str] = field(default_factory=dict)
    zone: str | None = None

    def instance(self, name: InstanceName) -> InstancePaths:
        """Return the paths of one instance."""
        return self.paths.instance(name)


# For pip, npm, apt-get and skopeo: proxies, certificates, mirrors, where pip looks for its settings, and the
# names of files with what lets into registries.
_NETWORK = re.compile(
    r"(https?|ftp|no|all)_proxy|(HTTPS?|FTP|NO|ALL)_PROXY|PIP_\w+|NPM_CONFIG_\S+|npm_config_\S+"
    r"|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|XDG_CONFIG_HOME"
    r"|REGISTRY_AUTH_FILE|DOCKER_CONFIG"
)

_OPENCLAW = ("OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH")


def current_host(environ: Mapping[str, str], *, verbose: bool = False) -> Host:
    """Return the host of the user who runs this process; raise `OcmError` where the home is another's."""
    uid, user, home = caller(environ)
    environ = without_foreign(environ, uid)
    runtime, bus = runtime_of(environ, uid)
    own = {"HOME": str(home), "USER": user, "TERM": environ.get("TERM", "dumb")}
    runner_environment = {**own, "XDG_RUNTIME_DIR": str(runtime), "DBUS_SESSION_BUS_ADDRESS": bus}
    return Host(
        user=user,
        uid=uid,
        paths=host_paths(home, environ),
        runtime=runtime,
        runner=Runner(environ=runner_environment, verbose=verbose),
        search_path=environ.get("PATH", ""),
        network={name: value for name, value in environ.items() if _NETWORK.fullmatch(name)},
        zone=environ.get("TZ") or None,
        openclaw={
            name: environ[name]
            for name in _OPENCLAW
            if environ.get(name) and not is_foreign(environ[name], uid)
        },
    )


def has_linger(host: Host) -> bool:
    """Tell whether the user's services outlive the last logout (loginctl(1)).

    logind escapes the name of the file as C does (systemd 257, `method_set_user_linger`).
    """
    return any(Path("/var/lib/systemd/linger", name).exists() for name in {host.user, _escaped(host.user)})


def _escaped(name: str) -> str:
    """Return a name as systemd's cescape() writes it, for what can be one of a user."""
    known = {"\\": "\\\\", '"': '\\"', "'": "\\'", "\t": "\\t", "\n": "\\n"}
    return "".join(
        known.get(chr(byte)) or (chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")  # noqa: PLR2004 - ASCII
        for byte in name.encode()
    )


def is_booted() -> bool:
    """Tell whether this is a machine that systemd started, and no container without it (sd_booted(3))."""
    return Path(_BOOTED).exists()


def user_manager_answers(host: Host) -> bool:
    """Tell whether the user manager is there: its private socket belongs to a process.

    One that executes itself anew lets go of its socket, and is waited for.
    """
    import errno
    import socket

    deadline = time.monotonic() + _ANEW_SECONDS
    while True:
        # A datagram socket cannot connect to a stream: EPROTOTYPE if one is there, and the manager, which
        # would log a connection that ends at once, hears nothing of it (unix(7)).
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            try:
                number = end.connect_ex(str(host.runtime / "systemd" / "private"))
            except OSError:
                return False  # a path too long for a socket
        if number != errno.ECONNREFUSED or time.monotonic() >= deadline:
            return number == errno.EPROTOTYPE
        time.sleep(_POLL_SECONDS)


def local_zone() -> tzinfo:
    """Return the machine's time zone, whatever TZ is for the caller or for supervisord.

    A container that has none of its own has that of its TZ; UTC where there is neither.
    """
    from zoneinfo import ZoneInfo

    given = container_zone()
    if given is not None:
        return ZoneInfo(given)
    with contextlib.suppress(OSError, ValueError), Path(_LOCAL_TIME).open("rb") as file:
        return ZoneInfo.from_file(file)
    return timezone.utc


def container_zone() -> str | None:
    """Return the zone of a container by its environment, None where the machine has one of its own.

    What its first process has counts before what the caller has, and supervisord is told. systemd takes that
    of the machine alone.
    """
    from zoneinfo import ZoneInfo

    if is_booted() or machine_zone() not in (None, *_UTC):
        return None
    for given in (_first_process().get("TZ"), os.environ.get(ZONE_VARIABLE), os.environ.get("TZ")):
        if given:
            # KeyError for one that no list here has: small images have none at all.
            with contextlib.suppress(OSError, ValueError, KeyError):
                ZoneInfo(given.removeprefix(":"))
                return given.removeprefix(":")
    return None


def machine_zone() -> str | None:
    """Return the name of the zone that /etc/localtime leads to, None where there is none that bears a name.

    A file that is a copy has no name: it is told from UTC by what it holds.
    """
    from zoneinfo import ZoneInfo

    real = os.path.realpath(_LOCAL_TIME)
    _before, found, name = real.partition("/zoneinfo/")
    if found:
        return name
    with contextlib.suppress(OSError, ValueError), Path(_LOCAL_TIME).open("rb") as file:
        zone = ZoneInfo.from_file(file)
        moments = (datetime(2026, month, 1, tzinfo=zone).utcoffset() for month in (1, 7))
        return "a copy" if any(moments) else "UTC"
    return None


def _first_process() -> dict[str, str]:
    """Return the environment of a container's first process, as far as the caller may read it."""
    from openclaw_ocm.system.processes import environ

    return environ(1, limit=2**20)


# sysctl, the value that forbids unprivileged user namespaces, the value that allows them.
_NAMESPACE_SWITCHES = (
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    # Ubuntu 24.04 sets it; PrivateUsers= in a user unit then fails.
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
)


def namespaces_forbidden() -> str | None:
    """Return the sysctl assignment that would allow user namespaces, None where they are allowed."""
    for name, forbidding, allowing in _NAMESPACE_SWITCHES:
        with contextlib.suppress(OSError):
            if Path("/proc/sys", *name.split(".")).read_text().strip() == forbidding:
                return f"{name}={allowing}"
    return None
