"""What a pod says of a state is an answer, or it is refused; and the program there does half of nothing."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.backends.pods import LocalPod, send_changed
from tests.samples import NAME

from openclaw_ocm.backends.kubernetes.volume import PodVolume, argv_of, request
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import IO

    from openclaw_ocm.backends.kubernetes.volume import Run

LIMIT = 100
CALLS: dict[str, Callable[[PodVolume], object]] = {
    "check": lambda volume: volume.check(NAME),
    "read": lambda volume: volume.read("d/file", limit=LIMIT),
    "tail": lambda volume: volume.read("file", limit=LIMIT, tail=True),
    "write": lambda volume: volume.write("file", b"data"),
    "replace": lambda volume: volume.replace("file", b"new", before=b"old", limit=LIMIT, beside="beside"),
    "remove": lambda volume: volume.remove("file"),
    "names": lambda volume: volume.names("d", most=3),
    "has": lambda volume: volume.has("d", "e"),
    "sizes": lambda volume: volume.sizes("d"),
    "some sizes": lambda volume: volume.sizes("d", most=2),
    "about": lambda volume: volume.about(),
    "discard": lambda volume: volume.discard("d"),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KINDS = st.sampled_from(("ok", "error", "refused", "closed", "else", 7))
HEADS = st.fixed_dictionaries(
    {"kind": KINDS},
    optional={
        "size": st.integers(-1, 40) | JSON,
        "number": st.integers(-1, 140) | JSON,
        "why": st.sampled_from(("link", "special", "large", "restless", "outside", "else")) | JSON,
        "link": st.booleans() | JSON,
        "more": JSON,
    },
)
# To who catches these they are about something else than a file: that its reader has gone, for instance.
OF_OTHER_THINGS = (ConnectionError, TimeoutError, InterruptedError, ProcessLookupError, ChildProcessError)
DATA = st.binary(max_size=40) | st.sampled_from((b"", b"0", b"1", b"link", b"nothing", b"directory"))


def asked_by(run: Run) -> PodVolume:
    return PodVolume(where="ocm-worker1", run=run, stream=no_stream)


def no_stream(_argv: tuple[str, ...]) -> AbstractContextManager[tuple[IO[bytes], IO[bytes]]]:
    raise AssertionError


def answered(answer: bytes) -> PodVolume:
    return asked_by(lambda _argv, _given, _limit: answer)


def fine(data: bytes) -> PodVolume:
    return answered(b'{"kind": "ok", "size": %d}\n%b' % (len(data), data))


def is_valid(call: str, value: object) -> bool:
    """Tell whether a value is one that this call can have."""
    if call in ("read", "tail"):
        return isinstance(value, bytes) and len(value) <= LIMIT
    if call in ("has", "replace"):
        return isinstance(value, bool)
    if call == "names":
        assert isinstance(value, tuple)
        return len(value) <= 3 and all(name and not {"/", "\0"} & {*name} for name in value)
    if call == "about":
        assert isinstance(value, tuple)
        mode, disk = value
        return bool(0 <= mode < 2**16 and 0 <= min(disk) <= max(disk) <= 2**60)
    if call in ("sizes", "some sizes"):
        assert isinstance(value, tuple)
        return sum(value) <= 2**40 and all(size >= 0 for size in value)
    return value is None


def ask(call: str, volume: PodVolume) -> None:
    """Make a call and see that what becomes of it is what may."""
    failed: OcmError | OSError | None = None
    try:
        assert is_valid(call, CALLS[call](volume))
    except (OcmError, OSError) as error:
        failed = error
    if isinstance(failed, OcmError):
        told = f"{failed.message}{failed.hint}"
        assert told.isprintable()
        assert len(told) < 500
    elif failed is not None:
        assert failed.errno
        assert not isinstance(failed, OF_OTHER_THINGS)


@pytest.mark.parametrize("call", CALLS)
@given(st.binary(max_size=300))
@example(b"")
@example(b"\n")
@example(b"[" * 5000)
@example(b'{"kind": "ok", "size": 1e400}\n')
def test_whatever_is_answered_is_a_value_or_an_error(call: str, answer: bytes) -> None:
    ask(call, answered(answer))


@pytest.mark.parametrize("call", CALLS)
@given(HEADS, DATA, st.booleans())
def test_so_is_what_looks_like_an_answer(
    call: str,
    head: dict[str, Any],
    data: bytes,
    right: bool,  # noqa: FBT001 - an example
) -> None:
    if right:
        head = {**head, "size": len(data)}
    ask(call, answered(json.dumps(head).encode() + b"\n" + data))


@pytest.mark.parametrize("call", CALLS)
def test_an_error_of_files_is_one_and_no_other_is(call: str) -> None:
    for number in range(200):
        volume = answered(b'{"kind": "error", "number": %d}\n' % number)
        ask(call, volume)
        if number not in errno.errorcode:
            with pytest.raises(OcmError):
                CALLS[call](volume)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("more", [-1, 1])
def test_what_is_cut_off_or_goes_on_is_no_answer(call: str, more: int) -> None:
    data = {
        "check": b"link",
        "has": b"1",
        "replace": b"1",
        "sizes": bytes(8),
        "some sizes": bytes(8),
        "about": bytes(24),
    }
    said = data.get(call, b"a") if call not in ("write", "remove", "discard") else b""
    with pytest.raises(OcmError) as caught:
        CALLS[call](answered(b'{"kind": "ok", "size": %d}\n%b' % (len(said) + more, said)))
    assert caught.value.code == "volume_unclear"


def test_an_error_tells_where_the_file_is() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        CALLS["read"](answered(b'{"kind": "error", "number": 2}\n'))
    assert caught.value.filename == "ocm-worker1:/home/node/.openclaw/d/file"


@pytest.mark.parametrize(
    ("call", "data"),
    [
        *(("names", name) for name in (b".", b"..", b"a/b", b"", b"a\0\0b", b"a\0", b"x" * 256)),
        *(("names", b"a\0b\0c\0d"), ("has", b"2"), ("has", b""), ("replace", b"true"), ("write", b"x")),
        *(("read", b"x" * (LIMIT + 1)), ("tail", b"x" * (LIMIT + 1)), ("check", b"file"), ("sizes", b"1234")),
        *(("sizes", b"\xff" * 8), ("sizes", bytes(8 * 1_000_001)), ("some sizes", bytes(24))),
        *(("about", bytes(16)), ("discard", b"x")),
    ],
)
def test_what_no_answer_can_be_is_refused(call: str, data: bytes) -> None:
    if data:
        with pytest.raises(OcmError) as caught:
            CALLS[call](fine(data))
        assert caught.value.code in ("volume_unclear", "state_too_large")
    else:
        ask(call, fine(data))


def test_what_the_cluster_says_comes_through() -> None:
    def run(_argv: tuple[str, ...], _given: bytes, _limit: int) -> bytes:
        raise OcmError("the cluster does not answer", code="cluster_silent")

    for call in CALLS.values():
        with pytest.raises(OcmError) as caught:
            call(asked_by(run))
        assert caught.value.code == "cluster_silent"


def test_each_question_is_one_and_bounds_its_answer() -> None:
    for name, call in CALLS.items():
        limits: list[int] = []
        with pytest.raises(OcmError):
            call(asked_by(counted(limits)))
        assert len(limits) == 1
        assert limits[0] < 9_000_000, name


def counted(limits: list[int]) -> Run:
    def run(_argv: tuple[str, ...], _given: bytes, limit: int) -> bytes:
        limits.append(limit)
        return b""

    return run


def test_what_is_written_is_in_no_word_of_a_command() -> None:
    runs: list[tuple[tuple[str, ...], bytes]] = []

    def run(argv: tuple[str, ...], given: bytes, _limit: int) -> bytes:
        runs.append((argv, given))
        return b""

    volume = asked_by(run)
    with pytest.raises(OcmError):
        volume.write("config", b"secret token")
    ((argv, told),) = runs
    assert b"secret token" in told
    assert "secret" not in " ".join(argv)
    assert repr(volume) == "PodVolume(where='ocm-worker1')"


@pytest.fixture
def pod(tmp_path: Path) -> LocalPod:
    (tmp_path / "state").mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "state/file").write_bytes(b"old")
    return LocalPod(tmp_path / "state")


def test_nothing_outside_of_the_state_is_reached(pod: LocalPod) -> None:
    volume = pod.volume()
    calls: tuple[Callable[[], object], ...] = (
        lambda: volume.read("../outside", limit=LIMIT),
        lambda: volume.read("d/../../outside", limit=LIMIT),
        lambda: volume.write("../new", b"new"),
        lambda: volume.write("d/new", b"new"),
        lambda: volume.remove("../outside"),
        lambda: volume.replace("../outside", b"", before=b"secret", limit=LIMIT, beside="beside"),
        lambda: volume.replace("file", b"", before=b"old", limit=LIMIT, beside="../beside"),
        lambda: volume.names("..", most=LIMIT),
        lambda: volume.has(".."),
        lambda: volume.sizes(".."),
        lambda: volume.discard("../outside"),
    )
    for call in calls:
        with pytest.raises(OcmError, match="is no place in the state"):
            call()
    assert {path.name for path in pod.state.parent.iterdir()} == {"state", "outside"}
    assert (pod.state / "file").read_bytes() == b"old"


def test_the_state_is_in_the_volume_where_all_of_that_is_mounted(pod: LocalPod, tmp_path: Path) -> None:
    (tmp_path / "no-volume").mkdir()
    with pytest.raises(OcmError) as caught:
        pod.volume().read("file", limit=LIMIT)
    assert caught.value.code == "state_unreadable", "and the other place is not looked at"
    (tmp_path / "no-volume/state").mkdir()
    (tmp_path / "no-volume/state/file").write_bytes(b"that of the volume")
    assert pod.volume().read("file", limit=LIMIT) == b"that of the volume"


def test_half_of_what_was_sent_does_nothing(pod: LocalPod) -> None:
    whole = request({"what": "write", "path": "file"}, b"new" * 1000)
    for size in (0, 3, 30, len(whole) - 1):
        argv = [sys.executable, *argv_of("volume.py")[1:-2], str(pod.state)]
        done = subprocess.run(argv, input=whole[:size], capture_output=True, check=False)
        assert done.returncode != 0
        assert done.stdout == b""
    assert (pod.state / "file").read_bytes() == b"old"
    assert [path.name for path in pod.state.iterdir()] == ["file"]


EXCHANGE = "    import ctypes\n\n    library"
AT_THE_SAME_MOMENT = """    import ctypes
    if next(WRITES) < {writes}:
        write(directory, {{"path": other.decode()}}, b"theirs %d" % next(TEXTS))
    library"""


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_write_at_the_very_moment_is_put_back(
    pod: LocalPod, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    change = AT_THE_SAME_MOMENT.format(writes=writes)
    send_changed(monkeypatch, "volume.py", EXCHANGE, change)
    begin(monkeypatch)
    volume = pod.volume()
    assert not volume.replace("file", b"ours", before=b"old", limit=LIMIT, beside="beside")
    assert (pod.state / "file").read_bytes() == b"theirs %d" % (writes - 1)
    assert [path.name for path in pod.state.iterdir()] == ["file"]


def test_a_writer_without_end_holds_nobody_up(pod: LocalPod, monkeypatch: pytest.MonkeyPatch) -> None:
    send_changed(monkeypatch, "volume.py", EXCHANGE, AT_THE_SAME_MOMENT.format(writes=10_000))
    begin(monkeypatch)
    with pytest.raises(OcmError) as caught:
        pod.volume().replace("file", b"ours", before=b"old", limit=LIMIT, beside="beside")
    assert caught.value.code == "config_changed"
    assert (pod.state / "file").read_bytes().startswith(b"theirs")
    assert [path.name for path in pod.state.iterdir()] == ["file"]


def begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is written at the same moment be counted."""
    counts = "WRITES, TEXTS = itertools.count(), itertools.count()\n\n\nclass Refused"
    send_changed(monkeypatch, "volume.py", "class Refused", counts)


def test_a_file_system_that_cannot_exchange_gets_a_rename(
    pod: LocalPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_changed(monkeypatch, "volume.py", EXCHANGE, f"    return False\n{EXCHANGE}")
    assert pod.volume().replace("file", b"ours", before=b"old", limit=LIMIT, beside="beside")
    assert (pod.state / "file").read_bytes() == b"ours"
    assert [path.name for path in pod.state.iterdir()] == ["file"]
