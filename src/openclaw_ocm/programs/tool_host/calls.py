"""The calls of docker(1) that OpenClaw makes, from an argument vector to what is asked for.

Whatever is not known here is refused: a newer OpenClaw must fail with a sentence and not half work.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NOT_A_CALL = 125  # docker's own exit status for a command line that it does not take
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
# What a box has anyway, by whatever name docker has it.
_GIVEN_FLAGS = frozenset({"--init", "--read-only"})
_GIVEN_VALUES = frozenset({"--cap-drop", "--security-opt"})
# Limits that a box has only from the instance as a whole.
_UNENFORCED = frozenset({"--memory", "--memory-swap", "--cpus", "--ulimit", "--dns", "--add-host"})
_TMPFS = frozenset({"/tmp", "/var/tmp", "/run"})  # noqa: S108 - a box has its own
_LABEL = re.compile(r'\{\{ *index \.Config\.Labels "([^"]*)" *\}\}')
_MOUNTS = '{"Mounts":{{json .Mounts}},"Tmpfs":{{json .HostConfig.Tmpfs}}}'
_ENV = "{{range .Config.Env}}{{println .}}{{end}}"
_PAUSED = "{{.State.Paused}}"
_STATE = "{{.Id}} {{.State.Running}} {{.State.Paused}}"
# OpenClaw's doctor asks for a version to know whether there is a docker at all.
_VERSION = ("--format", "{{.Server.Version}}")
VERSION = "1.0.0"
# What OpenClaw asks about a container of Docker's that it is in; the mounts of /etc/hosts tell it of one.
_SURROUNDING = '{"Id":{{json .ID}},"Mounts":{{json .Mounts}},"Tmpfs":{{json .HostConfig.Tmpfs}}}'
SANDBOX = "0c" * 32


class Refused(Exception):
    """What is asked for is not done; the text says why, `code` is the exit status of the caller."""

    def __init__(self, text: str, code: int = NOT_A_CALL) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Bind:
    """A directory or file of the sandbox that a box is to see at `target`."""

    source: str
    target: str
    options: str
    writable: bool


@dataclass(frozen=True)
class Box:
    """A box as it was asked for."""

    name: str
    image: str
    labels: dict[str, str] = field(default_factory=dict)
    binds: tuple[Bind, ...] = ()
    tmpfs: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    user: str = ""
    directory: str = "/workspace"
    tasks: int | None = None
    unenforced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Create:
    """Remember a box."""

    box: Box


@dataclass(frozen=True)
class Start:
    """Start a box."""

    name: str


@dataclass(frozen=True)
class Remove:
    """End a box and forget it."""

    name: str


@dataclass(frozen=True)
class Pause:
    """Have all that runs in a box stand still, or go on where `paused` is false."""

    name: str
    paused: bool


@dataclass(frozen=True)
class Version:
    """Say that there is somebody who makes boxes."""


@dataclass(frozen=True)
class Inspect:
    """Say something of a box, as `layout` wants it."""

    name: str
    layout: str


@dataclass(frozen=True)
class InspectSandbox:
    """Say what the sandbox is that the gateway is in."""


@dataclass(frozen=True)
class InspectImage:
    """Say whether an image is there."""


@dataclass(frozen=True)
class Execute:
    """Run a program in a box; `terminal` where it is to have one."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    directory: str | None
    terminal: bool


Call = Create | Start | Remove | Pause | Version | Inspect | InspectSandbox | InspectImage | Execute


def parse(words: Sequence[str], files: Sequence[str]) -> Call:
    """Return what a command line without its `docker` asks for; raises `Refused` for one that is not known.

    `files` are the texts of the files that --env-file names, in their order.
    """
    verbs: dict[str, Callable[[Sequence[str], Iterator[str]], Call]] = {
        "create": _create,
        "start": _start,
        "rm": _remove,
        "pause": _pause,
        "unpause": _unpause,
        "version": _version,
        "inspect": _inspect,
        "image": _image,
        "exec": _execute,
    }
    verb = words[0] if words else ""
    if verb not in verbs:
        raise Refused(f"docker {verb[:50]}: OCM's docker has no such command")
    return verbs[verb](words[1:], iter(files))


def _options(
    verb: str, words: Sequence[str], *, flags: frozenset[str], values: frozenset[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options before the first argument, and all from there on."""
    found: list[tuple[str, str]] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, equals, text = rest.pop(0).partition("=")
        if name in flags and not equals:
            found.append((name, ""))
        elif name in values and (equals or rest):
            found.append((name, text if equals else rest.pop(0)))
        else:
            raise Refused(f"docker {verb} {name[:50]}: OCM's docker does not know this option")
    return found, rest


def _only(verb: str, rest: Sequence[str]) -> str:
    if len(rest) != 1:
        raise Refused(f"docker {verb} takes one name")
    return rest[0]


def _create(words: Sequence[str], files: Iterator[str]) -> Call:
    values = {"--name", "--label", "--tmpfs", "--network", "--user", "--pids-limit", "--env", "-e", "-v"}
    known = frozenset(values | {"--workdir", "--env-file"} | _GIVEN_VALUES | _UNENFORCED)
    found, rest = _options("create", words, flags=_GIVEN_FLAGS, values=known)
    if rest[1:] != ["sleep", "infinity"]:
        raise Refused("docker create: OCM's docker makes boxes that sleep, and no others")
    single = dict(found)
    _check_network(single.get("--network", "none"))
    name = single.get("--name", "")
    if not _NAME.fullmatch(name):
        raise Refused("docker create wants a --name of letters, digits, dots, dashes and underscores")
    return Create(
        Box(
            name=name,
            image=rest[0],
            labels=dict(_pair(text) for option, text in found if option == "--label"),
            binds=tuple(parse_bind(text) for option, text in found if option == "-v"),
            tmpfs=dict(_tmpfs(text) for option, text in found if option == "--tmpfs"),
            env=_environment(found, files),
            user=single.get("--user", ""),
            directory=single.get("--workdir", "/workspace"),
            tasks=_number("--pids-limit", single["--pids-limit"]) if "--pids-limit" in single else None,
            unenforced=tuple(sorted(single.keys() & _UNENFORCED)),
        )
    )


def _check_network(network: str) -> None:
    if network != "none":
        raise Refused(
            f"docker.network {network[:50]!r}: a box has no network but its own loopback, only 'none' works"
        )


def _start(words: Sequence[str], _: Iterator[str]) -> Call:
    return Start(_only("start", words))


def _remove(words: Sequence[str], _: Iterator[str]) -> Call:
    flags = frozenset({"-f", "--force", "-v", "--volumes"})
    return Remove(_only("rm", _options("rm", words, flags=flags, values=frozenset())[1]))


def _pause(words: Sequence[str], _: Iterator[str]) -> Call:
    return Pause(_only("pause", words), paused=True)


def _unpause(words: Sequence[str], _: Iterator[str]) -> Call:
    return Pause(_only("unpause", words), paused=False)


def _version(words: Sequence[str], _: Iterator[str]) -> Call:
    if tuple(words) != _VERSION:
        raise Refused(f"docker version: OCM's docker knows {' '.join(_VERSION)} alone")
    return Version()


def _inspect(words: Sequence[str], _: Iterator[str]) -> Call:
    values = frozenset({"-f", "--format", "--type"})
    found, rest = _options("inspect", words, flags=frozenset(), values=values)
    layouts = [text for option, text in found if option != "--type"]
    if len(layouts) != 1:
        raise Refused("docker inspect wants one --format")
    name = _only("inspect", rest)
    return InspectSandbox() if layouts[0] == _SURROUNDING else Inspect(name, layouts[0])


def _image(words: Sequence[str], _: Iterator[str]) -> Call:
    if list(words[:1]) != ["inspect"]:
        raise Refused("docker image: OCM's docker knows inspect alone")
    return InspectImage()


def _execute(words: Sequence[str], files: Iterator[str]) -> Call:
    flags = frozenset({"-i", "--interactive", "-t", "--tty", "-it", "-ti"})
    values = frozenset({"-w", "--workdir", "--env-file", "--env", "-e"})
    found, rest = _options("exec", words, flags=flags, values=values)
    if len(rest) < 2:  # noqa: PLR2004 - a name and a program
        raise Refused("docker exec wants a name and a program")
    directories = [text for option, text in found if option in ("-w", "--workdir")]
    return Execute(
        name=rest[0],
        argv=tuple(rest[1:]),
        env=_environment(found, files),
        directory=directories[-1] if directories else None,
        terminal=any("t" in option for option, _ in found if option in flags),
    )


def _environment(found: Sequence[tuple[str, str]], files: Iterator[str]) -> dict[str, str]:
    env: dict[str, str] = {}
    for option, text in found:
        if option == "--env-file":
            content = next(files, None)
            if content is None:
                raise Refused(f"docker --env-file {text[:200]}: the file did not come along")
            # Docker's lines end here alone: a value may hold what else ends one for Python.
            lines = (line.removesuffix("\r") for line in content.split("\n"))
            env.update(_variable(option, line) for line in lines if line and not line.startswith("#"))
        elif option in ("--env", "-e"):
            env.update([_variable(option, text)])
    if next(files, None) is not None:
        raise Refused("docker --env-file: more came along than was named")
    return env


def _variable(option: str, text: str) -> tuple[str, str]:
    """Return a variable and its value, which is never one of the caller's own environment."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Refused(f"docker {option} wants NAME=VALUE, not {name[:50]!r}")
    return name, value


def parse_bind(text: str) -> Bind:
    """Return what `-v SOURCE:TARGET[:OPTIONS]` asks for; raises `Refused` for what it cannot say."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    words = options.split(",") if options else []
    if unknown := set(words) - {"ro", "rw", "z", "Z"}:
        raise Refused(f"docker -v: OCM's docker does not know the option {min(unknown)[:50]!r}")
    for path in (source, target):
        if not path.startswith("/") or path != normal(path):
            raise Refused(f"docker -v {text[:200]}: {path[:200]!r} is not a plain absolute path")
    return Bind(source=source, target=target, options=options, writable="ro" not in words)


def normal(path: str) -> str:
    """Return an absolute path without empty, `.` and `..` components; `/` for what leads there."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    if path not in _TMPFS:
        raise Refused(f"docker create --tmpfs {path[:100]}: a box has /tmp, /var/tmp and /run")
    return path, options


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _number(option: str, text: str) -> int:
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - what fits anywhere
        raise Refused(f"docker {option} wants a number")
    return int(text)


def described_sandbox() -> str:
    """Return what `docker inspect` prints of the sandbox itself, by whatever name it is asked for.

    Paths are the same in it and for who makes boxes. The shim runs what is to be run in it: OpenClaw has its
    mount namespace told, as a proof that this is where it is.
    """
    everything = Bind(source="/", target="/", options="", writable=True)
    return json.dumps({"Id": SANDBOX, "Mounts": [_described_bind(everything)], "Tmpfs": None})


@dataclass(frozen=True)
class State:
    """What a box does: it is up, commands run in it, all in it stands still."""

    up: bool = False
    running: bool = False
    paused: bool = False


def described(box: Box, layout: str, *, identity: str, state: State) -> str:
    """Return what `docker inspect --format LAYOUT` prints of a box; raises `Refused` for another layout.

    One that is idle says that it does not run, for OpenClaw to make it anew where its mounts changed. Asked
    together with whether it is paused it says the truth: what was left in it may still write.
    """
    label = _LABEL.fullmatch(layout)
    if label:
        return box.labels.get(label[1], "<no value>")
    if layout == _MOUNTS:
        return json.dumps({"Mounts": [_described_bind(bind) for bind in box.binds], "Tmpfs": box.tmpfs})
    if layout == _ENV:
        return "".join(f"{key}={text}\n" for key, text in box.env.items())
    paused = str(state.paused).lower()
    plain = {
        "{{.State.Running}}": str(state.running or state.paused).lower(),
        "{{.Id}}": identity,
        "{{.Config.Image}}": box.image,
        _PAUSED: paused,
        _STATE: f"{identity} {str(state.up).lower()} {paused}",
    }
    if layout not in plain:
        raise Refused(f"docker inspect --format {layout[:100]}: OCM's docker does not know this layout")
    return plain[layout]


def _described_bind(bind: Bind) -> dict[str, object]:
    return {
        "Type": "bind",
        "Source": bind.source,
        "Destination": bind.target,
        "Mode": bind.options,
        "RW": bind.writable,
    }
