"""What a process in a gateway's pod is asked, and what each answer must be.

The answers are the instance's word: they are bounded and of the kinds below, and what is missing or odd
proves nothing. A good one could be forged; `pod_document` says by the cluster's word what the pod may.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from openclaw_ocm.backends.kubernetes import places
from openclaw_ocm.backends.kubernetes.pod_places import SERVER, server_place
from openclaw_ocm.core.image.contents import HOME
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.sandbox.mounts import parse_mountinfo
from openclaw_ocm.core.text import printable, some_of
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openclaw_ocm.backends.kubernetes.pod_places import Place
    from openclaw_ocm.core.sandbox.mounts import Mounted

# What is taken of an answer at all.
MOST_BYTES = 2**20
DONE, REACHED = "done", "reached"
_MOST_MOUNTS = 2**18
_MAX_WORDS, _MOST_TOLD = 200, 3
_CAPABILITIES = {
    "CapInh": "inheritable",
    "CapPrm": "permitted",
    "CapEff": "effective",
    "CapBnd": "bounding",
    "CapAmb": "ambient",
}
_HEXADECIMAL = re.compile(r"[0-9a-f]{1,16}")
_FILTERED = "2"
# Places of the image's root, each refused because that is mounted read-only, not by bits of a mode alone.
_OF_ROOT = tuple(map(str, ("/", "/etc", "/usr", "/usr/bin", "/opt", "/app", "/home", HOME, "/run", "/var")))
_NOT_THERE = ("ENOENT", "ENOTDIR")
_READ_ONLY = "EROFS"
# What the kernel and the kubelet put there.
_CLOSED = (
    *("/dev", "/sys", "/sys/fs/cgroup", "/sys/kernel", "/proc/sys/kernel/core_pattern"),
    *("/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"),
)
# What container runtimes and the kubelet mount by themselves, by the only file systems each may be of.
_KERNEL = {
    # What is hidden there is covered by /dev/null: with a user namespace that is the node's.
    PurePosixPath("/proc"): frozenset({"proc", "tmpfs", "devtmpfs"}),
    PurePosixPath("/sys"): frozenset({"sysfs", "cgroup", "cgroup2", "tmpfs"}),
}
_OWN = {
    "/dev": "tmpfs",
    "/dev/pts": "devpts",
    "/dev/shm": "tmpfs",  # noqa: S108 - a place to look at
    "/dev/mqueue": "mqueue",
    "/dev/console": "devpts",
    # Where a pod has a user namespace no device can be made: those of the node are bound there.
    **{f"/dev/{name}": "devtmpfs" for name in ("null", "zero", "full", "random", "urandom", "tty")},
}
_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv")
_LAST_WORDS = "/dev/termination-log"
# Numbers of devices that are nobody's hardware (Documentation/admin-guide/devices.txt): memory devices by
# these minor numbers, terminals of the process itself, and pseudo-terminals.
_MEMORY, _MEMORY_MINORS = 1, frozenset({3, 5, 7, 8, 9})
_TERMINALS, _TERMINAL_MINORS = 5, frozenset({0, 1, 2})
_PSEUDO_TERMINALS = range(136, 144)

_Word = Annotated[str, msgspec.Meta(max_length=4096)]
_Words = Annotated[dict[_Word, _Word], msgspec.Meta(max_length=500)]
_Paths = Annotated[list[_Word], msgspec.Meta(max_length=100)]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the probe in a pod says.

    `status` are fields of /proc/self/status, `mounts` is /proc/self/mountinfo, `write` and `reach` tell of
    each what came of it, `devices` are these with kind and numbers, and `settings` those of the kernel that
    can be written. A list that was not made to its end is None.
    """

    status: _Words
    mounts: Annotated[str, msgspec.Meta(max_length=_MOST_MOUNTS)]
    write: _Words
    tokens: _Paths | None
    devices: Annotated[list[tuple[_Word, _Word, int, int]], msgspec.Meta(max_length=100)] | None
    settings: _Paths | None
    server: _Word | None
    reach: _Words


def question(template: Mapping[str, Any], near: Iterable[Place]) -> str:
    """Return the argument of the probe, for a pod that is made by this template."""
    written = (*_OF_ROOT, *_CLOSED, *_volumes(template))
    return json.dumps({"write": list(dict.fromkeys(written)), "reach": list(map(str, near))})


def asking_for(place: Place) -> str:
    """Return the argument of the probe where one place alone is asked for."""
    return json.dumps({"write": [], "reach": [str(place)]})


def parse_answer(said: bytes) -> Answer:
    """Return what the probe said; raises `OcmError` where that is no answer."""
    if len(said) <= MOST_BYTES:
        try:
            return msgspec.json.decode(said, type=Answer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
    message = "the probe in the pod did not come to its end"
    told = printable(said[-_MAX_WORDS:].decode(errors="replace")).strip()
    # Whatever kept it from that: what was not proved counts as not sealed.
    raise OcmError(message, code="not_sealed", details=(told,) if told else ())


def answer_violations(answer: Answer, template: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what an answer says of a pod, or leaves out, that is not as the template has it."""
    yield from _status_violations(answer.status, template)
    yield from _write_violations(answer, template)
    yield from _mount_violations(answer.mounts, template)
    yield from _token_violations(answer, template)
    yield from _device_violations(answer)


def reach_violations(answer: Answer, asked: Iterable[Place]) -> Iterator[str]:
    """Yield in words of what an answer leaves out whether it was reached."""
    for place in asked:
        if str(place) not in answer.reach:
            yield f"a process inside did not tell whether it reaches {place.in_words}"
    if server_place(answer.server) is None:
        yield f"a process inside did not tell where {SERVER} is"
    elif answer.server not in answer.reach:
        yield f"a process inside did not tell whether it reaches {SERVER}"


def reached(answer: Answer, asked: Iterable[Place]) -> tuple[Place, ...]:
    """Return which of the places that were asked for, and the API server as the pod knows it, was reached."""
    server = server_place(answer.server)
    found = {str(place): place for place in (*([server] if server is not None else []), *asked)}
    return tuple(place for text, place in found.items() if answer.reach.get(text) == REACHED)


def _gateway(template: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        one for one in template["spec"]["containers"] if one["name"] == places.GATEWAY
    )
    return found


def _volumes(template: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(mount["mountPath"] for mount in _gateway(template)["volumeMounts"])


def _status_violations(status: Mapping[str, str], template: Mapping[str, Any]) -> Iterator[str]:
    for name, kind in _CAPABILITIES.items():
        value = status.get(name, "")
        if not _HEXADECIMAL.fullmatch(value):
            yield f"a process inside did not tell its {kind} capabilities"
        elif int(value, 16):
            yield f"a process inside has {kind} capabilities ({value})"
    if status.get("NoNewPrivs") != "1":
        yield "a process inside may gain new privileges (NoNewPrivs is not 1)"
    if status.get("Seccomp") != _FILTERED:
        yield "a process inside has no system call filter (Seccomp is not 2)"
    wanted = lookup(template["spec"], "securityContext") or {}
    for name, key, what in (("Uid", "runAsUser", "user"), ("Gid", "runAsGroup", "group")):
        found = status.get(name, "nothing").split()
        if found != [str(wanted.get(key))] * 4:
            yield f"a process inside has another {what} than {wanted.get(key)}: {_shown(' '.join(found))}"
    groups = status.get("Groups")
    if groups is None or "0" in groups.split():
        yield f"a process inside is in the group of root, or did not tell its groups: {_shown(groups)}"


def _write_violations(answer: Answer, template: Mapping[str, Any]) -> Iterator[str]:
    for path in _volumes(template):
        if (outcome := answer.write.get(path)) != DONE:
            yield f"a process inside cannot write {path}: {_shown(outcome)}"
    closed = {path: answer.write.get(path) for path in (*_OF_ROOT, *_CLOSED)}
    for path, outcome in closed.items():
        if outcome is None or outcome == DONE:
            yield f"a process inside {'can' if outcome else 'did not tell whether it can'} write {path}"
    loose = [path for path in _OF_ROOT if closed[path] not in (None, DONE, _READ_ONLY, *_NOT_THERE)]
    if loose:
        ends = _shown(closed[loose[0]])
        yield f"{some_of(loose, _MOST_TOLD)} is not mounted read-only: writing there ends with {ends}"
    if answer.settings is None:
        yield "a process inside did not tell which settings of the kernel it can write"
    elif answer.settings:
        yield f"a process inside can write settings of the kernel, such as {_shown(answer.settings[0])}"


def _mount_violations(text: str, template: Mapping[str, Any]) -> Iterator[str]:
    mounted = parse_mountinfo(text)
    if len(text.encode()) >= _MOST_MOUNTS:
        yield "a process inside tells of more mounts than a pod has"
    roots = [one for one in mounted if one.point == PurePosixPath("/")]
    if not roots or any(one.writable for one in roots):
        yield f"the root inside {'is not mounted read-only' if roots else 'is not among what is mounted'}"
    points = {str(one.point) for one in mounted}
    for path in ("/proc", *_volumes(template)):
        if path not in points:
            yield f"nothing is mounted at {path} inside"
    granted = {*_volumes(template), *_FILES, _gateway(template).get("terminationMessagePath", _LAST_WORDS)}
    for one in dict.fromkeys(mounted):
        if one.point == PurePosixPath("/") or str(one.point) in granted:
            continue
        if not _is_own(one):
            yield f"{_shown(one.kind)} is mounted at {_shown(str(one.point))}, which the pod is not given"
        elif one.writable and one.kind != "tmpfs" and one.point.is_relative_to("/sys"):
            # A tmpfs there is the container's own: it holds the hierarchies of cgroups, or hides something.
            yield f"{one.point} inside can be written: it is not mounted read-only"


def _is_own(one: Mounted) -> bool:
    if _OWN.get(str(one.point)) == one.kind:
        return True
    return any(one.point.is_relative_to(place) and one.kind in kinds for place, kinds in _KERNEL.items())


def _token_violations(answer: Answer, template: Mapping[str, Any]) -> Iterator[str]:
    if answer.tokens is None:
        yield "a process inside did not tell whether it has a token for the API server"
        return
    # In its own volumes an instance may call a file what it likes.
    own = {str(PurePosixPath(path) / "token") for path in _volumes(template)}
    for path in answer.tokens:
        if path not in own:
            yield f"a process inside has a token for the API server at {_shown(path)}"


def _device_violations(answer: Answer) -> Iterator[str]:
    if answer.devices is None:
        yield "a process inside did not tell which devices it has"
        return
    found = [
        f"{_shown(path)} ({major}:{minor})"
        for path, kind, major, minor in answer.devices
        if not _is_nobodys(kind, major, minor)
    ]
    if found:
        yield f"a process inside has devices of the node: {some_of(found, _MOST_TOLD)}"


def _is_nobodys(kind: str, major: int, minor: int) -> bool:
    if kind != "c":
        return False
    return (
        (major == _MEMORY and minor in _MEMORY_MINORS)
        or (major == _TERMINALS and minor in _TERMINAL_MINORS)
        or major in _PSEUDO_TERMINALS
    )


def _shown(word: str | None) -> str:
    return "nothing" if word is None else printable(word, limit=_MAX_WORDS)
