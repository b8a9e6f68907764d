"""Programs and sessions in pods of a real cluster, over the connection that OCM makes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tests.cluster import oci
from tests.cluster.cluster import NODES, PAUSE, Cluster
from tests.cluster.image import ensure_file_system
from tests.cluster.reach import Reached

from openclaw_ocm.backends.kubernetes import cluster as api
from openclaw_ocm.backends.kubernetes.execution import (
    Deadline,
    Target,
    calling,
    exchange,
    run,
    stream_in,
    stream_out,
)
from openclaw_ocm.backends.kubernetes.frames import PIECE, SUBPROTOCOLS, Program
from openclaw_ocm.backends.kubernetes.sessions import (
    Wanted,
    new_token,
    session_argv,
    sessions_in,
    signal_session,
    stop_sessions,
)
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.placement import Access
from openclaw_ocm.errors import CommandFailed, OcmError
from openclaw_ocm.system.host import current_host

from .processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE, NAMESPACE = "cluster.test/perl:1", "exec"
NAME = parse_name("ada")
TARGET = Target(namespace=NAMESPACE, pod="one", container="gateway")
SECONDS, LIMIT = 120.0, 2**20
APPLETS = ("sh", "sleep", "cat", "head", "wc", "sha256sum", "tty", "stty", "true", "id", "tar", "kill")
LIBRARIES = ("libc.so.6", "libm.so.6", "libcrypt.so.1")
LOADER = "ld-linux-x86-64.so.2"


class Reach(NamedTuple):
    cluster: Cluster
    reached: Reached
    access: Access
    api: api.Cluster


@pytest.fixture(scope="module")
def reach(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    """Run a pod as an instance's is run, with Debian's perl-base in it, and one without."""
    with Reached(cluster, tmp_path_factory.mktemp("kube")) as reached:
        cluster.import_image(cluster.nodes[NODES[0]], perl_image())
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        make_pod(cluster, "one", IMAGE)
        make_pod(cluster, "bare", PAUSE)
        access = Access(kubeconfig=str(reached.kubeconfig), context="test")
        with api.Cluster(access, current_host(os.environ)) as asked:
            yield Reach(cluster, reached, access, asked)


def perl_image() -> bytes:
    """Return an image with busybox and Debian's perl-base, which is less than any of Debian's has."""
    layers = ensure_file_system()
    usr = layers[-1] / "usr"
    libraries = usr / "lib" / "x86_64-linux-gnu"
    modules = [path for path in (libraries / "perl-base").rglob("*") if path.is_file()]
    files = {
        "bin/busybox": (layers[0] / "usr/bin/busybox").read_bytes(),
        "usr/bin/perl": (usr / "bin/perl").read_bytes(),
        f"lib64/{LOADER}": (libraries / LOADER).read_bytes(),
        **{f"lib/x86_64-linux-gnu/{name}": (libraries / name).read_bytes() for name in LIBRARIES},
        **{str(path.relative_to(layers[-1])): path.read_bytes() for path in modules},
    }
    links = {f"bin/{name}": "busybox" for name in APPLETS}
    return oci.archive(IMAGE, files, ["sleep", "1000000"], links)


def make_pod(cluster: Cluster, name: str, image: str) -> None:
    """Make a pod with the rights of an instance's."""
    container = {
        "name": "gateway",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sleep", "1000000"],
        "env": [{"name": "OF_THE_CONTAINER", "value": "kept"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": NODES[0]},
            "terminationGracePeriodSeconds": 1,
            "shareProcessNamespace": True,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsUser": 1000,
                "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    }
    cluster.apply(pod)
    where = f"--namespace={NAMESPACE}"
    cluster.kubectl("wait", where, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


def test_a_program_gets_its_input_to_the_end_where_no_end_can_be_told(reach: Reach) -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/one/exec"
    with reach.api.websocket(path, (("command", "true"), ("stdout", "true")), SUBPROTOCOLS) as opened:
        assert opened.subprotocol == "v4.channel.k8s.io"
    script = "id -u; echo $OF_THE_CONTAINER; wc -c; echo no >&2; exit 7"
    done = run(
        reach.api, TARGET, shell(script), given=[b"x" * 3_000_000], limit=LIMIT, deadline_seconds=SECONDS
    )
    assert (done.status, done.stdout, done.stderr) == (7, b"1000\nkept\n3000000\n", b"no\n")


def test_what_runs_often_is_whole_each_time(reach: Reach) -> None:
    """A program that ends at once after its last byte is where kubectl loses some."""
    for _ in range(20):
        done = run(
            reach.api,
            TARGET,
            shell("head -c 1000000 /dev/zero"),
            limit=LIMIT,
            deadline_seconds=SECONDS,
        )
        assert (done.status, len(done.stdout)) == (0, 1_000_000)


def test_more_than_fits_goes_out_and_in_and_is_kept_nowhere(reach: Reach) -> None:
    length, began = 400_000_000, time.monotonic()
    found = 0
    argv = shell(f"head -c {length} /dev/zero")
    for chunk in stream_out(reach.api, TARGET, argv, limit=length, deadline_seconds=600):
        found += len(chunk)
    assert found == length
    print(f"out: {length / 1e6 / (time.monotonic() - began):.0f} MB/s")
    began, piece = time.monotonic(), os.urandom(2**16)
    count = length // len(piece)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    done = run(
        reach.api,
        TARGET,
        ("/bin/sha256sum",),
        given=(piece for _ in range(count)),
        limit=LIMIT,
        deadline_seconds=600,
    )
    assert done.stdout.split()[0].decode() == digest.hexdigest()
    print(f"in: {length / 1e6 / (time.monotonic() - began):.0f} MB/s")
    assert memory_mib() < 300


def memory_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def test_both_ways_at_once(reach: Reach) -> None:
    piece, count = os.urandom(PIECE), 3000
    found, digest = hashlib.sha256(), hashlib.sha256()
    program = Program(argv=("/bin/cat",), token=new_token(NAME))
    deadline = Deadline(time.monotonic() + 300, OcmError("late"))
    with calling(reach.api, TARGET, program) as call:
        for _letter, data in exchange(call, (piece for _ in range(count)), deadline):
            found.update(data)
    for _ in range(count):
        digest.update(piece)
    assert found.digest() == digest.digest()


def test_a_reader_that_takes_its_time_loses_nothing(reach: Reach) -> None:
    """Longer than the answer to a websocket's ping is waited for, which lies behind what is not taken."""
    chunks = stream_out(
        reach.api, TARGET, shell("head -c 50000000 /dev/zero"), limit=2**30, deadline_seconds=300
    )
    length = len(next(chunks))
    time.sleep(45)
    assert length + sum(map(len, chunks)) == 50_000_000


def test_a_program_that_takes_its_time_with_its_input_gets_all_of_it(reach: Reach) -> None:
    given = (b"x" * PIECE for _ in range(200))
    done = run(reach.api, TARGET, shell("sleep 12; wc -c"), given=given, limit=LIMIT, deadline_seconds=300)
    assert done.stdout.split() == [str(200 * PIECE).encode()]


def test_a_program_that_fails_in_the_middle_of_its_input_says_why(reach: Reach) -> None:
    endless = (b"x" * PIECE for _ in iter(int, 1))
    argv = shell("head -c 1000000 >/dev/null; echo 'no space left' >&2; exit 2")
    with pytest.raises(CommandFailed, match="exit status 2: no space left"):
        stream_in(reach.api, TARGET, argv, endless, deadline_seconds=SECONDS)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pod": "nobody"}, "nobody"),
        ({"namespace": "nowhere"}, '"one" not found'),
        ({"container": "other"}, "other"),
        ({"pod": "bare"}, "/usr/bin/perl"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_sentence(reach: Reach, changed: dict[str, Any], said: str) -> None:
    target = Target(**{"namespace": NAMESPACE, "pod": "one", "container": "gateway", **changed})
    with pytest.raises(OcmError) as error:
        run(reach.api, target, ("/bin/true",), limit=LIMIT, deadline_seconds=SECONDS)
    print(error.value.code, error.value.message)
    assert said in error.value.message
    assert "\n" not in error.value.message


# It ends where nobody reads it any more.
ENDLESS = shell("while head -c 100000 /dev/zero; do :; done")


def test_a_connection_that_breaks_is_no_end_and_ends_the_program(reach: Reach) -> None:
    chunks = stream_out(reach.api, TARGET, ENDLESS, limit=2**40, deadline_seconds=SECONDS)
    for _ in range(100):
        next(chunks)
    with reach.reached.lost(), pytest.raises(OcmError) as error:
        for _chunk in chunks:
            pass
    assert error.value.code == "pod_lost"
    wait_for(lambda: not programs(reach), 30, "the end of the program")


def programs(reach: Reach) -> list[str]:
    """Return what runs in the pod besides what is always there."""
    script = "for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline 2>/dev/null; echo; done"
    where = f"--namespace={NAMESPACE}"
    listed = reach.cluster.kubectl("exec", where, "one", "--", "/bin/busybox", "sh", "-c", script)
    return [line for line in listed.splitlines() if "/dev/zero" in line or "perl" in line]


def test_a_pod_that_is_deleted_in_the_middle_is_no_end(reach: Reach) -> None:
    make_pod(reach.cluster, "gone", IMAGE)
    target = Target(namespace=NAMESPACE, pod="gone", container="gateway")
    chunks = stream_out(reach.api, target, ENDLESS, limit=2**40, deadline_seconds=SECONDS)
    next(chunks)
    deleting = threading.Thread(
        target=reach.cluster.kubectl, args=("delete", "pod", "gone", f"--namespace={NAMESPACE}")
    )
    deleting.start()
    with pytest.raises(OcmError) as error:
        for _chunk in chunks:
            pass
    deleting.join()
    print(error.value.code, error.value.message)
    assert error.value.code in ("pod_lost", "pod_refused")


def wanted(reach: Reach, *argv: str, terminal: bool = False) -> Wanted:
    return Wanted(
        kubeconfig=str(reach.access.kubeconfig),
        context=reach.access.context,
        namespace=NAMESPACE,
        pod="one",
        container="gateway",
        token=new_token(NAME),
        argv=argv,
        environ={"TERM": "dumb"},
        directory="/usr",
        terminal=terminal,
    )


@contextlib.contextmanager
def session(what: Wanted) -> Iterator[subprocess.Popen[bytes]]:
    pipe = subprocess.PIPE
    environ = {"HOME": os.environ["HOME"], "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        session_argv(what), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_session_has_the_streams_and_the_exit_status_of_its_program(reach: Reach) -> None:
    with session(wanted(reach, *shell("pwd; wc -c; echo no >&2; exit 3"))) as process:
        out, errors = process.communicate(b"x" * 5_000_000, timeout=SECONDS)
    assert (process.returncode, out, errors) == (3, b"/usr\n5000000\n", b"no\n")


def test_sessions_are_found_signalled_and_ended(reach: Reach) -> None:
    script = "trap 'echo heard; exit 4' USR1; echo up; while :; do sleep 0.1; done"
    first, second = wanted(reach, *shell(script)), wanted(reach, *shell("echo up; exec sleep 600"))
    with session(first) as one, session(second) as other:
        for process in (one, other):
            assert process.stdout
            assert process.stdout.readline() == b"up\n"
        assert sessions_in(reach.api, TARGET, NAME) == {first.token, second.token}
        signal_session(reach.api, TARGET, first.token, signal.SIGUSR1)
        assert one.communicate(timeout=SECONDS)[0] == b"heard\n"
        assert one.returncode == 4
        stop_sessions(reach.api, TARGET, NAME)
        assert other.wait(SECONDS) == 128 + signal.SIGTERM
    assert sessions_in(reach.api, TARGET, NAME) == frozenset()


def test_a_session_that_is_killed_here_ends_there(reach: Reach) -> None:
    with session(wanted(reach, *shell("echo up; exec sleep 600"))) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        process.kill()
    wait_for(lambda: not sessions_in(reach.api, TARGET, NAME), 30, "the end of the session")


def test_a_session_on_a_terminal_has_one_of_its_own(reach: Reach) -> None:
    keys, end = pty.openpty()
    what = wanted(reach, *shell("tty; while read line; do echo got $line; done; echo bye"), terminal=True)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + SECONDS
        while text not in seen:
            assert select.select([keys], [], [], deadline - time.monotonic())[0], seen
            seen += os.read(keys, 65536)

    environ = {"HOME": os.environ["HOME"], "PATH": os.environ["PATH"]}
    with subprocess.Popen(session_argv(what), stdin=end, stdout=end, stderr=end, env=environ) as process:
        until(b"/dev/pts/")
        os.write(keys, b"hello\r")
        until(b"got hello\r\n")
        os.write(keys, b"\x04")
        until(b"bye\r\n")
        assert process.wait(SECONDS) == 0
    for number in (keys, end):
        os.close(number)
