"""Runs what OCM has a pod run as programs of this machine, with directories of it in the place of volumes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from openclaw_ocm.backends.kubernetes.volume import PLACES, PodVolume
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pytest


@contextlib.contextmanager
def streams_of(
    command: Sequence[str], failed: Callable[[str], Exception]
) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Start a program, yield its streams, and raise what has `failed` where it does not end well."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout, process.stdin
            # It ends by itself, and not because nobody writes any more.
            process.wait(60)
        finally:
            process.kill()
            # What was not read by then is read by nobody.
            with contextlib.suppress(OSError):
                process.stdin.close()
    if process.returncode:
        raise failed(f"it ended with {process.returncode}")


@dataclass(frozen=True)
class LocalPod:
    """A pod that has the state `state`; what it runs finds its standard input open to the end."""

    state: Path

    def run(self, argv: tuple[str, ...], given: bytes, limit: int) -> bytes:
        with self.started(argv) as (read, write):
            write.write(given)
            write.flush()
            answer = read.read(limit + 1)
        if len(answer) > limit:
            raise OcmError("it prints too much")
        return answer

    @contextlib.contextmanager
    def started(self, argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Start a program, yield its streams, and raise `OcmError` where it does not end well."""
        assert argv[-len(PLACES) :] == PLACES
        places = (self.state.parent / "no-volume" / "state", self.state)
        command = [sys.executable, *argv[1 : -len(PLACES)], *map(str, places)]
        with streams_of(command, OcmError) as both:
            yield both

    def volume(self) -> PodVolume:
        return PodVolume(where="ocm-worker1", run=self.run, stream=self.started)


def send_changed(monkeypatch: pytest.MonkeyPatch, program: str, old: str, new: str) -> None:
    """Have a program do something else where it has a text, as if that happened at this very moment."""
    true = programs.text
    changed = true(program).replace(old, new)
    assert changed != true(program)
    monkeypatch.setattr(programs, "text", lambda name: changed if name == program else true(name))
