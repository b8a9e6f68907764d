"""The proof of a sandbox: what is asked from within, and what each answer must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

READ, WRITE, CONNECT, LIST = "read", "write", "connect", "list"
# Namespaces in which the sandbox must not be with the rest of the user's processes.
NAMESPACES = ("user", "mnt", "ipc")
PID_NAMESPACE = "pid"

# Runs under OCM's own Python and enters the gateway's namespaces by itself, after its exec: so its memory and
# descriptors belong to the outer user namespace, and nothing inside can read, change or follow them. (What a
# program started inside says could be forged, and nsenter --wd would carry a directory of the host in.)
SCRIPT = r"""
import ctypes, errno, fcntl, json, os, secrets, socket, stat, sys
NS_GET_USERNS = 0xB701
ask = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
entered = [os.open(path, os.O_RDONLY) for path in ask["namespaces"]]
# Only who owns a namespace may enter it. The process itself may be in a user namespace below the owner.
owner = fcntl.ioctl(entered[0], NS_GET_USERNS)
if not os.path.samestat(os.fstat(owner), os.stat("/proc/self/ns/user")):
    entered.insert(0, owner)
for namespace in entered:
    if libc.setns(namespace, 0):
        sys.exit("setns: " + os.strerror(ctypes.get_errno()))
os.chdir("/")
def read(path):
    if os.path.isdir(path):
        # An empty one shows nothing: a mount point that an earlier sandbox left behind.
        if not os.listdir(path):
            raise OSError
    else:
        with open(path, "rb", buffering=0) as file:
            # So does an empty file, such as what systemd puts over a hidden one.
            if not file.read(1):
                raise OSError
def write(path):
    if not os.path.isdir(path):
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
        return
    name = os.path.join(path, ".ocm-probe-" + secrets.token_hex(8))
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(name)
def connect(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as end:
            end.settimeout(2)
            try:
                return end.connect(path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
def can(action, path):
    try:
        action(path)
    except OSError:
        return False
    return True
def names(path):
    try:
        return os.listdir(path)
    except OSError:
        return None
def identity(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_dev, found.st_ino]
answers = {kind: {path: can(action, path) for path in ask[kind]}
           for kind, action in (("read", read), ("write", write), ("connect", connect))}
answers["list"] = {path: names(path) for path in ask["list"]}
answers["identity"] = {path: identity(path) for path in ask["identity"]}
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a process inside must or must not be able to do."""

    action: str
    path: str
    allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A directory that holds, seen from inside, nothing but `names`, or cannot be seen at all."""

    path: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What the kernel says of the gateway's process, read from outside."""

    no_new_privileges: bool
    seccomp: bool
    capabilities: int
    bounding_set: int
    own_namespaces: frozenset[str]


def questions(checks: Iterable[Check], listings: Iterable[Listing]) -> dict[str, list[str]]:
    """Return what `SCRIPT` reads from its standard input."""
    asked: dict[str, list[str]] = {READ: [], WRITE: [], CONNECT: [], LIST: []}
    for check in checks:
        asked[check.action].append(check.path)
    asked[LIST] = [listing.path for listing in listings]
    return asked


def answer_violations(
    answers: Mapping[str, Any], *, checks: Iterable[Check], listings: Iterable[Listing]
) -> tuple[str, ...]:
    """Return in words which answers from inside are not as the policy says."""
    return (*_check_violations(answers, checks), *_listing_violations(answers, listings))


def kernel_violations(kernel: Kernel, *, private_pids: bool) -> Iterator[str]:
    """Yield in words what the kernel says of the gateway's process that is not as the policy says."""
    if not kernel.no_new_privileges:
        yield "the gateway may gain new privileges (NoNewPrivileges is off)"
    if not kernel.seccomp:
        yield "the gateway has no system call filter"
    if kernel.capabilities or kernel.bounding_set:
        yield "the gateway has capabilities"
    wanted = (*NAMESPACES, PID_NAMESPACE) if private_pids else NAMESPACES
    for name in wanted:
        if name not in kernel.own_namespaces:
            yield f"the gateway shares the {name} namespace of the user's other processes"


def _check_violations(answers: Mapping[str, Any], checks: Iterable[Check]) -> Iterator[str]:
    for check in checks:
        answer = answers.get(check.action, {}).get(check.path)
        if answer is not check.allowed:
            yield f"a process inside {'can' if answer else 'cannot'} {check.action} {check.path}"


def _listing_violations(answers: Mapping[str, Any], listings: Iterable[Listing]) -> Iterator[str]:
    for listing in listings:
        if listing.path not in answers.get(LIST, {}):
            yield f"a process inside did not tell what is in {listing.path}"
        seen = answers.get(LIST, {}).get(listing.path)
        names = set(map(str, seen)) if isinstance(seen, list) else set()
        if extra := sorted(names - listing.names):
            yield f"a process inside sees {', '.join(extra[:5])} in {listing.path}"
