"""The systemd renderer: policy and record to directives, unit text and back, for drift.

Which directives a user manager enforces was measured on systemd 252 and 257 (reference/isolation.md):
none of the file-system ones without PrivateUsers=.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openclaw_ocm.backends.definition import signed
from openclaw_ocm.backends.systemd.places import (
    TURNS,
    turn_name,
    turn_program,
    unit_name,
    uplink_name,
)
from openclaw_ocm.core.backup.schedule import RUN_TIMEOUT_SECONDS, SHORT_TIMEOUT_SECONDS
from openclaw_ocm.core.load import STARTING, TURN_SECONDS, WAIT_FOR_TURN_SECONDS
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.traits import STOP_TIMEOUT_SECONDS
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.core.sandbox.launch import (
    ENV,
    GATEWAY_RULES,
    PERL,
    PYTHON,
    UPLINK_NAME,
    UPLINK_OPTIONS,
    gateway_argv,
)
from openclaw_ocm.core.sandbox.policy import QUEUED_BYTES, SIGNALS, SPARE_PROC

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from openclaw_ocm.core.paths import HostPaths, InstancePaths
    from openclaw_ocm.core.record import Limits, Record
    from openclaw_ocm.core.sandbox.policy import Mount, Policy

Directive = tuple[str, str]

# Backups wait for each other in a queue of OCM's own: this only keeps many from being started at one moment.
RANDOM_DELAY_SECONDS = 15

# What runs every few minutes fills no log with that it did, and tells why it did not.
_QUIET = (
    *(("StandardOutput", "null"), ("StandardError", "journal")),
    *(("SyslogLevel", "notice"), ("LogLevelMax", "notice")),
)

# In a template, in the place of an instance's name: no path holds this character.
_ANY = InstanceName("\0")

# With what the program of the uplink ends where no gateway came (EX_UNAVAILABLE).
NO_GATEWAY = 69

_GLOB = re.compile(r"[*?\[]")
# First systemd with BindLogSockets=, which below RootDirectory= is on.
_LOG_SOCKETS_VERSION = 257


def quote(value: str) -> str:
    """Return one word of a directive that takes several (systemd.syntax(7))."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != value or not value or set(value) & set(" \t'#;") else value


def quote_argument(value: str) -> str:
    """Return one argument of ExecStart=, variables kept literal as well."""
    return quote(value.replace("$", "$$"))


def _bind(mount: Mount) -> str:
    # Each side is quoted for itself: within quotes the colon between them would be part of the path.
    source = _quote_side(("-" if mount.optional else "") + str(mount.source))
    return source if mount.source == mount.target else f"{source}:{_quote_side(str(mount.target))}"


def _quote_side(path: str) -> str:
    quoted = quote(path)
    return f'"{path}"' if ":" in path and quoted == path else quoted


def sandbox_directives(policy: Policy, *, systemd_version: int) -> tuple[Directive, ...]:
    """Return the directives that enforce `policy`, the same for the gateway and for every session.

    The values are as systemd-run(1) takes them: in a unit file specifiers are to be escaped yet.
    """
    read_only = " ".join(_bind(mount) for mount in policy.mounts if not mount.writable)
    read_write = " ".join(
        (*(_bind(mount) for mount in policy.mounts if mount.writable), f"/proc:{SPARE_PROC}")
    )
    # With the minus one that is gone keeps nobody from starting.
    writable = " ".join(
        quote(f"{'-' if mount.optional else ''}{mount.target}") for mount in policy.mounts if mount.writable
    )
    directives = [
        ("PrivateUsers", "yes"),
        # TemporaryFileSystem=/ reads like the way to hide all; beside ProtectSystem=strict it does nothing.
        ("RootDirectory", str(policy.root)),
        ("MountAPIVFS", "yes"),
        ("BindReadOnlyPaths", read_only),
        ("BindPaths", read_write),
        ("ProtectSystem", "strict"),
        # ProtectSystem= makes an exception for /home and /root, and 252 leaves the tmpfs here writable.
        ("ProtectHome", "tmpfs"),
        ("ReadWritePaths", writable),
        # Without the plus the host's root would be meant, and the path dropped without a word.
        ("InaccessiblePaths", " ".join(quote(f"-+{path}") for path in policy.hidden)),
        # PrivateDevices= keeps the host's shared memory, and the terminals of the user's other logins.
        ("TemporaryFileSystem", "/home:ro /root:ro /run:ro /dev/shm:mode=1777,size=256M /dev/pts:ro"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateIPC", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectHostname", "yes"),
        ("RestrictRealtime", "yes"),
        ("LockPersonality", "yes"),
        ("CapabilityBoundingSet", ""),
        ("RestrictAddressFamilies", " ".join(policy.address_families)),
        ("SystemCallArchitectures", "native"),
        # Namespaces and mounts are for the tool host: what it starts is below a filter without them.
        ("SystemCallFilter", "@system-service @mount"),
        # What is left of other processes' memory and of unfiltered I/O in @system-service.
        ("SystemCallFilter", "~@keyring process_vm_readv process_vm_writev"),
        ("SystemCallFilter", "~io_uring_setup io_uring_enter io_uring_register"),
        ("SystemCallErrorNumber", "EPERM"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
        ("LimitSIGPENDING", str(SIGNALS)),
        ("LimitMSGQUEUE", str(QUEUED_BYTES)),
        ("KeyringMode", "private"),
    ]
    if systemd_version >= _LOG_SOCKETS_VERSION:
        directives.append(("BindLogSockets", "no"))
    return tuple(directives)


def limit_directives(limits: Limits) -> tuple[Directive, ...]:
    """Return the directives of the record's resource limits (systemd.resource-control(5))."""
    directives = [("TasksMax", str(limits.tasks))]
    if limits.memory is not None:
        directives.append(("MemoryMax", limits.memory))
    if limits.cpus is not None:
        directives.append(("CPUQuota", f"{round(limits.cpus * 100)}%"))
    return tuple(directives)


def render_unit(paths: InstancePaths, record: Record, policy: Policy, *, systemd_version: int) -> str:
    """Return the text of the instance's unit file."""
    argv = gateway_argv(paths, record)
    sandbox = sandbox_directives(policy, systemd_version=systemd_version) if record.sealed else ()
    exec_start = " ".join(quote_argument(word) for word in argv)
    service = (
        ("Type", "exec"),
        ("ExecStart", _literal(exec_start)),
        ("WorkingDirectory", _literal(str(paths.state))),
        ("Slice", "ocm.slice"),
        # OpenClaw exits with 0 to be started anew after a change of its config, so on-failure is not enough.
        ("Restart", "always"),
        ("RestartSec", "5"),
        # EX_CONFIG: it would say the same at every start.
        ("RestartPreventExitStatus", "78"),
        ("SuccessExitStatus", "143"),
        ("KillMode", "mixed"),
        ("TimeoutStopSec", str(STOP_TIMEOUT_SECONDS)),
        ("OOMPolicy", "continue"),
        # "<0>" before a line would have journald write it to every terminal, and each level has a share of
        # its own in the journal. Not LogRateLimitBurst=: of a user's units journald reads none (252, 257).
        ("SyslogLevelPrefix", "no"),
        *limit_directives(record.limits),
        *((key, _literal(value)) for key, value in sandbox),
    )
    unit = (
        ("Description", f"OpenClaw gateway {record.name} (ocm)"),
        ("StartLimitIntervalSec", "300"),
        ("StartLimitBurst", "10"),
        # Wants= and no more: whatever becomes of its turn, it starts once that is over.
        ("Wants", turn_name(record.name)),
        ("After", turn_name(record.name)),
        # A plus before ExecStartPost= would not help: it is of the sandbox too, as far as that is a root.
        *([("Wants", uplink_name(record.name))] if record.isolated else []),
    )
    sections = (("Unit", unit), ("Service", service), ("Install", (("WantedBy", "default.target"),)))
    body = "\n".join(_section(name, directives) for name, directives in sections)
    return signed(body)


def render_uplink(paths: HostPaths) -> str:
    """Return the text of the template by whose units the sandboxes of isolated gateways get their networks.

    What is of one instance alone is read from its own files when the unit starts.
    """
    instance = paths.instance(_ANY)
    # Taken as it is, quotes and all, but for what glob(3) would find others by.
    options = _literal(_GLOB.sub(r"[\g<0>]", str(instance.network / UPLINK_OPTIONS))).replace(_ANY, "%i")
    argv = (
        *(ENV, "-i", "XDG_RUNTIME_DIR=%t", PYTHON, "-IS", _of_template(instance.network / UPLINK_NAME)),
        *("--rules", _of_template(instance.network / GATEWAY_RULES)),
        *("--state", _of_template(instance.uplink), "$OPTIONS"),
        *("--of-unit", unit_name(InstanceName("%i"))),
    )
    service = (
        ("Type", "exec"),
        ("EnvironmentFile", options),
        ("ExecStart", " ".join(argv)),
        ("Slice", "ocm.slice"),
        # It ends with each process of the gateway's unit, and waits for the next as long as one may take.
        ("Restart", "always"),
        ("RestartSec", "200ms"),
        ("RestartPreventExitStatus", str(NO_GATEWAY)),
        ("SuccessExitStatus", str(NO_GATEWAY)),
        ("KillMode", "mixed"),
        # While a gateway drains it is to have its network.
        ("TimeoutStopSec", str(STOP_TIMEOUT_SECONDS + 15)),
        # What an instance can make it take: slirp4netns has 260 MB with a thousand connections.
        ("MemoryMax", "512M"),
        ("TasksMax", "32"),
        ("NoNewPrivileges", "yes"),
        ("LimitCORE", "0"),
        ("UMask", "0077"),
    )
    unit = (
        ("Description", "Network of OpenClaw gateway %i (ocm)"),
        # Without an order: both are to be there, and to end, at the same time. And without asking for it:
        # what a gateway wants is started as it waits for its restart, and that would start it at once.
        ("PartOf", unit_name(InstanceName("%i"))),
        # It gives up where no gateway comes, so it does not begin before that has its turn.
        ("After", turn_name("%i")),
        ("StartLimitIntervalSec", "0"),
    )
    return signed("\n".join(_section(*section) for section in (("Unit", unit), ("Service", service))))


def render_turn(paths: HostPaths) -> str:
    """Return the text of the template by whose units gateways start in turns.

    How many start at once is found out whenever one begins: what the machine has left changes meanwhile.
    """
    argv = (
        *(ENV, "-i", "NOTIFY_SOCKET=${NOTIFY_SOCKET}", PERL, _of_template(turn_program(paths))),
        *(f"%t/{TURNS}", "%i", _of_template(paths.instance(_ANY).record), _of_template(paths.settings)),
        *(str(STARTING.memory), str(TURN_SECONDS), str(WAIT_FOR_TURN_SECONDS)),
    )
    service = (
        ("Type", "notify"),
        ("ExecStart", " ".join(argv)),
        ("Slice", "ocm.slice"),
        ("TimeoutStartSec", str(WAIT_FOR_TURN_SECONDS + 60)),
        ("TimeoutStopSec", "10"),
        ("NoNewPrivileges", "yes"),
        ("LimitCORE", "0"),
        ("UMask", "0077"),
        *_QUIET,
    )
    unit = (
        ("Description", "Turn to start of OpenClaw gateway %i (ocm)"),
        # A gateway that is stopped, or given up, waits for nothing and keeps nobody waiting.
        ("PartOf", unit_name(InstanceName("%i"))),
        ("StopWhenUnneeded", "yes"),
        ("StartLimitIntervalSec", "0"),
    )
    return signed("\n".join(_section(*section) for section in (("Unit", unit), ("Service", service))))


def render_timer(name: InstanceName, every: str, purpose: Purpose) -> str:
    """Return the text of the unit that has something done at the times `every`, such as backups."""
    timer = (
        ("OnCalendar", _literal(every)),
        # A run that was missed while the machine was off is made up for.
        ("Persistent", "yes"),
        ("RandomizedDelaySec", str(RANDOM_DELAY_SECONDS)),
        ("AccuracySec", "1s"),
    )
    sections = (
        ("Unit", (("Description", _described(name, purpose, purpose.plural)),)),
        ("Timer", timer),
        ("Install", (("WantedBy", "timers.target"),)),
    )
    return signed("\n".join(_section(title, directives) for title, directives in sections))


def render_timed(name: InstanceName, argv: Iterable[str], purpose: Purpose) -> str:
    """Return the text of the unit that does it once by the command `argv`."""
    # An upgrade is in nobody's way for long, and while the gateway is stopped it is to be quick.
    patient = (("Nice", "19"), ("IOSchedulingClass", "idle")) if purpose is Purpose.BACKUP else ()
    of_instance = purpose in OF_INSTANCES
    service = (
        ("Type", "oneshot"),
        ("ExecStart", _literal(" ".join(map(quote_argument, argv)))),
        ("WorkingDirectory", "/"),
        ("UMask", "0077"),
        *patient,
        *(() if of_instance else _QUIET),
        ("TimeoutStartSec", str(RUN_TIMEOUT_SECONDS if of_instance else SHORT_TIMEOUT_SECONDS)),
    )
    unit = (("Description", _described(name, purpose, purpose.value)),)
    sections = (("Unit", unit), ("Service", service))
    return signed("\n".join(_section(title, directives) for title, directives in sections))


def _described(name: InstanceName, purpose: Purpose, what: str) -> str:
    if purpose not in OF_INSTANCES:
        return f"Scheduled run of {purpose.typed}"
    return f"Scheduled {what} of OpenClaw instance {name} (ocm)"


def _of_template(path: PurePosixPath) -> str:
    """Return a path as a word of a template's command, with the instance's name where it is of `_ANY`."""
    return _literal(quote_argument(str(path))).replace(_ANY, "%i")


def _literal(value: str) -> str:
    return value.replace("%", "%%")


def _section(name: str, directives: Iterable[Directive]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in directives)
