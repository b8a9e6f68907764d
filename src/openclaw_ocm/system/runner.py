"""Runs foreign programs, never by a shell nor with the caller's environment: the home of subprocess."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NoReturn, cast

from openclaw_ocm.errors import CommandFailed, Invalid, OcmError
from openclaw_ocm.system.streams import copy_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_TAIL_LINES = 5
_SHOWN_WORD = 160
_CHUNK = 65536
_SILENCE_MILLISECONDS = 1000
_GRACE_SECONDS = 10.0
# systemd-run since 256 would colour the terminal and put the whole command line into its title.
_PLAIN_TERMINAL = {"SYSTEMD_TINT_BACKGROUND": "0", "SYSTEMD_ADJUST_TERMINAL_TITLE": "0"}
# What runs the session does not hear the terminal's Ctrl-C, so that it does not leave its unit behind.
_DEAF = ("/usr/bin/env", "--ignore-signal=INT,TERM,HUP")
SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run: `argv` in full, `env` on top of a minimal environment, a mandatory time limit.

    `descriptors` are open files that it inherits, such as a lock that is to last as long as it does. One that
    prints more than `limit` bytes on a stream is ended: an instance may have it print without an end.
    """

    argv: tuple[str, ...]
    timeout_seconds: float
    stdin: bytes | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None
    descriptors: tuple[int, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a program ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs commands with the environment `environ` and nothing else of the caller's."""

    environ: Mapping[str, str]
    verbose: bool = False

    def run(self, command: Command, *, check: bool = True) -> Completed:
        """Run `command` to its end and return what it printed.

        Raises `CommandFailed` on an exit status other than 0 when `check`, and `OcmError` when the
        program is missing, takes longer than it may, or prints more.
        """
        self.show(command.argv)
        try:
            completed = self._whole(command) if command.limit is None else self._bounded(command)
        except FileNotFoundError:
            raise _not_installed(command.argv[0]) from None
        except subprocess.TimeoutExpired:
            raise _too_long(command) from None
        if check and completed.returncode != 0:
            raise failure(command.argv, completed.returncode, completed.stderr)
        return completed

    def _whole(self, command: Command) -> Completed:
        done = subprocess.run(
            command.argv,
            input=command.stdin,
            stdin=subprocess.DEVNULL if command.stdin is None else None,
            capture_output=True,
            env=self._environment(command.env),
            cwd=command.directory,
            pass_fds=command.descriptors,
            timeout=command.timeout_seconds,
            check=False,
        )
        return _decoded(done.returncode, done.stdout, done.stderr)

    def _bounded(self, command: Command) -> Completed:
        with subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment(command.env),
            cwd=command.directory,
            pass_fds=command.descriptors,
        ) as process:
            try:
                deadline = time.monotonic() + command.timeout_seconds
                stdout, stderr = _read_both(process, deadline, command)
                status = process.wait(max(deadline - time.monotonic(), 0))
            except BaseException:
                process.kill()
                raise
        return _decoded(status, stdout, stderr)

    def lines(self, argv: tuple[str, ...]) -> Iterator[bytes]:
        """Yield the lines that a program prints, as they come; it is ended when the caller stops asking."""
        self.show(argv)
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment({}),
        ) as process:
            try:
                yield from process.stdout or ()
                stderr = process.stderr.read() if process.stderr else b""
                if process.wait():
                    raise failure(argv, process.returncode, stderr.decode(errors="replace"))
            finally:
                if process.poll() is None:
                    process.terminate()

    @contextlib.contextmanager
    def companion(self, argv: tuple[str, ...]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Yield where a program reads questions and prints answers; it is ended with the block."""
        self.show(argv)
        with subprocess.Popen(
            argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment({}),
        ) as process:
            try:
                yield cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
            finally:
                process.kill()

    def follow(
        self, command: Command, on_line: Callable[[str], None], *, limit: int | None = None
    ) -> Completed:
        """Run a long `command`, give each line it prints to `on_line`, and return how it ended.

        One that prints more than `limit` bytes is ended, with `OcmError`.

        It leads a process group. When it takes too long (`OcmError`) or the caller is interrupted, the group
        is asked to end by SIGINT, as by Ctrl-C, for dpkg must not be cut off, and is killed after 10 s.
        `stdout` of the answer holds both streams.
        """
        try:
            process = self._lead(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            raise _not_installed(command.argv[0]) from None
        deadline = time.monotonic() + command.timeout_seconds
        with process:
            try:
                lines = _read_lines(process.stdout, deadline, on_line) if process.stdout else ()
                printed = b"".join(_limited(lines, limit, command.argv[0]))
                status = process.wait(max(deadline - time.monotonic(), 0))
            except BaseException as error:
                _end_group(process)
                if isinstance(error, (TimeoutError, subprocess.TimeoutExpired)):
                    raise _too_long(command) from None
                raise
        return Completed(returncode=status, stdout=printed.decode(errors="replace"), stderr="")

    def feed(self, command: Command) -> int:
        """Run a program that reads its input, whose output nobody reads, and return its exit status.

        It leads a session: what takes too long (`OcmError`) is ended with all that it started. What a program
        leaves behind when it ends, as one that delivers later does, goes on.
        """
        process = self._lead(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return process.wait(command.timeout_seconds)
        except BaseException as error:
            _end_group(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise _too_long(command) from None
            raise

    def _lead(self, command: Command, *, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Begin a program that leads a session, and so a group."""
        self.show(command.argv)
        with _as_file(command.stdin) as stdin:
            return subprocess.Popen(
                command.argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=self._environment(command.env),
                cwd=command.directory,
                pass_fds=command.descriptors,
                start_new_session=True,
            )

    def pass_through(self, argv: tuple[str, ...], on_signal: Callable[[int], None], *, terminal: bool) -> int:
        """Run a program on the caller's standard streams and return its exit status.

        With `terminal` it gets the caller's terminal, which systemd-run keeps to itself. Otherwise it gets
        pipes that are copied: an instance that had the caller's own descriptors could keep them, read the
        keyboard, or open the very file anew for writing. A signal that would end the caller is not passed
        to the program; `on_signal` gets it instead.
        """
        self.show(argv)
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # Before the program starts, for one that comes meanwhile must not be lost.
        before = {
            number: signal.signal(number, lambda received, _frame: on_signal(received)) for number in signals
        }
        try:
            stream = None if terminal else subprocess.PIPE
            process = subprocess.Popen(
                (*_DEAF, *argv),
                stdin=stream,
                stdout=stream,
                stderr=stream,
                env=self._environment(_PLAIN_TERMINAL),
            )
            pipes = process.stdin, process.stdout, process.stderr
            copies = [] if terminal else copy_streams(*pipes, lambda: process.poll() is not None)
            status = process.wait()
            for copy in copies:
                copy.join()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return status if status >= 0 else 128 - status

    def become(self, argv: tuple[str, ...]) -> NoReturn:
        """Replace this process by a program; raises `OSError` where that cannot be."""
        self.show(argv)
        os.execve(argv[0], argv, self._environment({}))

    def edit(self, editor: str, path: str) -> None:
        """Open `path` in the user's editor, with the user's own environment, and wait for it."""
        try:
            argv = (*shlex.split(editor), path)
        except ValueError as error:
            message = f"the editor {editor} is no command: {error}"
            raise Invalid(message, hint="set EDITOR to one", code="editor_invalid") from None
        try:
            status = subprocess.run(argv, check=False).returncode
        except FileNotFoundError:
            message = f"the editor {argv[0]} is not installed"
            raise OcmError(message, hint="set EDITOR to one that is", code="missing") from None
        if status:
            message = f"{argv[0]} ended with exit status {status}; nothing was changed"
            raise OcmError(message, code="editor_failed")

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {"PATH": SAFE_PATH, "LANG": "C.UTF-8", **self.environ, **extra}

    def show(self, argv: tuple[str, ...]) -> None:
        """Tell the user who asked for it what is run."""
        if self.verbose:
            with contextlib.suppress(OSError):
                words = (word if len(word) <= _SHOWN_WORD else word[:_SHOWN_WORD] + "..." for word in argv)
                sys.stderr.write(f"+ {shlex.join(words)}\n")


def _read_lines(source: IO[bytes], deadline: float, on_line: Callable[[str], None]) -> Iterator[bytes]:
    """Yield what a program prints until it closes its output, each line told to `on_line` as it comes.

    Raises `TimeoutError` past the deadline.
    """
    begun = b""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    while time.monotonic() < deadline:
        # In short turns: a signal that comes together with output would go unheard in one long read.
        if not poll.poll(_SILENCE_MILLISECONDS):
            continue
        data = os.read(source.fileno(), _CHUNK)
        *lines, begun = (begun + data).split(b"\n")
        for line in lines if data else filter(None, (begun,)):
            on_line(line.decode(errors="replace"))
        if not data:
            return
        yield data
    raise TimeoutError


@contextlib.contextmanager
def _as_file(data: bytes | None) -> Iterator[IO[bytes] | int]:
    """Yield what a program is to read from: no pipe, for one that never reads would block its writer."""
    if data is None:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


def _decoded(status: int, stdout: bytes, stderr: bytes) -> Completed:
    return Completed(
        returncode=status, stdout=stdout.decode(errors="replace"), stderr=stderr.decode(errors="replace")
    )


def _read_both(process: subprocess.Popen[bytes], deadline: float, command: Command) -> tuple[bytes, bytes]:
    """Return what a program prints on each stream, of either no more than the command's limit."""
    printed = {stream: bytearray() for stream in (process.stdout, process.stderr) if stream}
    with selectors.DefaultSelector() as selector:
        for stream in printed:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(command.argv, command.timeout_seconds)
            for key, _events in selector.select(min(left, _SILENCE_MILLISECONDS / 1000)):
                stream = cast("IO[bytes]", key.fileobj)
                chunk = os.read(stream.fileno(), _CHUNK)
                printed[stream] += chunk
                if not chunk:
                    selector.unregister(stream)
                if len(printed[stream]) > (command.limit or 0):
                    raise _too_much(command.argv[0], command.limit or 0)
    stdout, stderr = map(bytes, printed.values())
    return stdout, stderr


def _limited(chunks: Iterable[bytes], limit: int | None, program: str) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if limit is not None and total > limit:
            raise _too_much(program, limit)
        yield chunk


def _too_much(program: str, limit: int) -> OcmError:
    return OcmError(f"{program} printed more than {limit} bytes", code="command_failed")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Have a program and all that it started end: by Ctrl-C's signal, then by force."""
    with contextlib.suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def failure(argv: tuple[str, ...], returncode: int, stderr: str) -> CommandFailed:
    """Return the error for a program that ended with `returncode`, with the end of what it said."""
    tail = [line for line in stderr.strip().splitlines() if line.strip()][-_TAIL_LINES:]
    said = f": {' '.join(tail)}" if tail else ""
    program = os.path.basename(argv[0])  # noqa: PTH119 - a name from argv, not a file
    message = f"{program} ended with exit status {returncode}{said}"
    return CommandFailed(message, returncode=returncode, stderr=stderr)


def _not_installed(program: str) -> OcmError:
    message = f"{program} is not installed"
    return OcmError(message, hint=f"sudo apt install {_package(program)}", code="missing")


def _too_long(command: Command) -> OcmError:
    message = f"{command.argv[0]} did not end within {command.timeout_seconds:g} s"
    return OcmError(message, code="timeout")


def _package(program: str) -> str:
    return {"systemctl": "systemd", "journalctl": "systemd", "nsenter": "util-linux"}.get(program, program)
