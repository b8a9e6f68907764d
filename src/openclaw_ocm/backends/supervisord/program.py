"""The supervisord renderer: the program file of an instance, and the config of supervisord itself.

The format is that of supervisor 4.3 (supervisord.org/configuration.html); what it does to a value that holds
a percent sign, a comment or `%(here)s` was read in its options.py and is tested against it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from openclaw_ocm.backends.definition import signed
from openclaw_ocm.backends.supervisord import places
from openclaw_ocm.backends.supervisord.bubblewrap import (
    OUTSIDE,
    entry_argv,
    limited_argv,
    sandbox_argv,
    with_network,
)
from openclaw_ocm.core.backup.schedule import Job
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.core.sandbox.launch import ENV, gateway_argv
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath

    from openclaw_ocm.backends.supervisord.bubblewrap import Entrance
    from openclaw_ocm.core.paths import HostPaths, InstancePaths
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.core.sandbox.policy import Policy

# How many older files of what a gateway printed are kept beside the one that is written.
LOG_BACKUPS = 3
# What bwrap's --die-with-parent does for a sealed one: no gateway goes on without a supervisord.
_SETPRIV = "/usr/bin/setpriv"
_NICE = "/usr/bin/nice"
_IONICE = "/usr/bin/ionice"
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
# What cannot be said in a value, whose ends are stripped and in which a comment begins after a space.
_UNSPEAKABLE = re.compile(r"\A\s|\s\Z|\s[;#]|%\(here\)s|[\x00-\x1f]")
_PATTERN = re.compile(r"[*?\[]")
# sun_path holds 108 bytes with its end; supervisord first binds beside, at a name with its PID appended.
_SOCKET_BYTES = 107 - len(".4194304")


def quote(word: str) -> str:
    """Return one word of `command=`: for shlex, but also for the parser that sees the line before it.

    The empty quotes keep a semicolon or number sign from following a space, and `%(here)s` apart.
    """
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace("'", "'\"'\"'").replace("%", "%%''")
    return "'" + escaped.replace(";", "'';").replace("#", "''#") + "'"


def value(text: str) -> str:
    """Return the value of a setting that is no command; raises `Invalid` where there is no way to say it."""
    if _UNSPEAKABLE.search(text):
        raise Invalid(
            f"{text!r} holds what no config file of supervisord can name",
            hint="set HOME and the XDG variables to other directories",
        )
    return text.replace("%", "%%")


def gateway_command(
    paths: InstancePaths,
    record: Record,
    policy: Policy,
    *,
    entrance: Entrance,
    covers: Mapping[PurePosixPath, bool],
) -> tuple[str, ...]:
    """Return the argument vector of the gateway, in its sandbox where the record is sealed.

    `entrance` has the filters of the policy; `covers` is what `sandbox_argv` takes.
    """
    argv = gateway_argv(paths, record, *OUTSIDE)
    if not record.sealed:
        return (ENV, f"--chdir={paths.state}", _SETPRIV, "--pdeathsig=KILL", *argv)
    sandbox = sandbox_argv(policy, covers=covers, directory=paths.state)
    limited = limited_argv(argv)
    sealed = with_network(paths, record, (*sandbox, *limited), gateway=True)
    return entry_argv(entrance, sealed, variables={})


def render_program(paths: InstancePaths, command: Iterable[str], *, sealed: bool) -> str:
    """Return the text of the instance's program file; raises `Invalid` for a path that it cannot hold."""
    settings = {
        "command": " ".join(map(quote, command)),
        "directory": "/",
        "umask": "077",
        # supervisord takes an end within startsecs for a failed start, which it retries whatever the exit
        # status; and autorestart= knows no delay and no limit. The plug-in decides instead.
        "autostart": "false",
        "autorestart": "false",
        "startsecs": "0",
        "startretries": "0",
        "stopsignal": "TERM",
        # The group of a sealed gateway is bwrap, which does not hear SIGTERM, and the sandbox's init. That of
        # another holds OpenClaw's workers too, which are for the gateway to end.
        "stopasgroup": "true" if sealed else "false",
        "killasgroup": "true",
        "stopwaitsecs": str(STOP_TIMEOUT_SECONDS),
        "redirect_stderr": "true",
        # This one it expands twice.
        "stdout_logfile": value(value(str(places.output(paths)))),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    return signed(_section(f"program:{paths.name}", settings))


def render_schedule(every: str, argv: Iterable[str], purpose: Purpose) -> str:
    """Return the text by which the plug-in in supervisord has backups or upgrades made: when, and how."""
    # An upgrade is in nobody's way for long, and while the gateway is stopped it is to be quick.
    patient = (_NICE, "-n", "19", _IONICE, "-c", "3", "-t") if purpose is Purpose.BACKUP else ()
    return signed(msgspec.toml.encode(Job(every=every, command=(*patient, *argv))).decode())


def render_daemon(paths: HostPaths, *, user: str | None) -> str:
    """Return the config of supervisord itself; `user` is given where it runs as root, which it asks about.

    Raises `OcmError` where its socket would have a name that is too long, and `Invalid` for a path that the
    file cannot hold.
    """
    socket = str(places.socket(paths))
    if len(socket.encode()) > _SOCKET_BYTES:
        raise OcmError(
            f"the path of supervisord's socket is too long: {socket}",
            hint=f"set XDG_STATE_HOME to a directory that keeps it below {_SOCKET_BYTES + 1} bytes",
            code="path_too_long",
        )
    if _PATTERN.search(str(paths.ocm_config)):
        raise Invalid(
            f"{paths.ocm_config} holds one of * ? [, with which supervisord finds no file",
            hint="set XDG_CONFIG_HOME to another directory",
        )
    sections = {
        "unix_http_server": {"file": value(socket), "chmod": "0600"},
        "supervisord": {
            "logfile": value(str(places.log(paths))),
            "logfile_maxbytes": "10MB",
            "logfile_backups": "3",
            "pidfile": value(str(places.pid(paths))),
            "identifier": "ocm",
            "directory": "/",
            "umask": "077",
            "nocleanup": "true",
            "minprocs": "1",
            **({"user": user} if user is not None else {}),
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "rpcinterface:ocm": {
            "supervisor.rpcinterface_factory": "openclaw_ocm.backends.supervisord.plugin:make_interface"
        },
        # Relative to this file, for a pattern ends at a space.
        "include": {"files": f"{places.programs(paths).name}/*.conf"},
    }
    return signed("\n".join(_section(name, settings) for name, settings in sections.items()))


def _section(name: str, settings: Mapping[str, str]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={text}\n" for key, text in settings.items())
