"""Errors that a user can act on, and the exit codes of the program."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
SOME_FAILED = 3
UNDO_INCOMPLETE = 4
BUG = 70
INTERRUPTED = 130
# errno(3): ENOSPC and EDQUOT, EROFS.
_NO_ROOM, _READ_ONLY = (28, 122), (30,)


class OcmError(Exception):
    """What happened to which instance, and what to type next.

    `code` is the stable slug that `--json` carries; `details` are further lines for a person,
    such as the gateway's own last words.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str = "failed",
        exit_code: int = FAILED,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.exit_code = exit_code
        self.details = details

    def __reduce__(self) -> tuple[object, ...]:
        """Return what makes it anew in another process: whatever its kind, the same to tell a user."""
        return _error, (self.message, self.hint, self.code, self.exit_code, self.details)


def _error(message: str, hint: str | None, code: str, exit_code: int, details: tuple[str, ...]) -> OcmError:
    return OcmError(message, hint=hint, code=code, exit_code=exit_code, details=details)


class Invalid(OcmError):
    """The user asked for something that cannot be: nothing was touched."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str = "invalid",
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, code=code, exit_code=USAGE, details=details)


def as_ocm_error(error: OcmError | OSError) -> OcmError:
    """Return an error, or what the operating system refused, as one that a user can act on."""
    if isinstance(error, OcmError):
        return error
    named = f": {error.filename}" if error.filename else ""
    hint = "nothing is lost: what was begun is undone, at the latest by the next ocm command"
    if error.filename:
        hint = room_or_writable(error) or _look_at(error.filename)
    elif error.errno in _NO_ROOM:
        hint = f"make room on the disk; {hint}"
    return OcmError(f"{error.strerror or error}{named}", hint=hint, code="os_error")


def is_full(error: OcmError | OSError) -> bool:
    """Tell whether it was for want of room on a disk."""
    return error.code == "no_space" if isinstance(error, OcmError) else error.errno in _NO_ROOM


def room_or_writable(error: OSError) -> str | None:
    """Return what is to be done about a disk that is full or read-only, None where it is neither."""
    if error.errno in _NO_ROOM:
        return "make room there"
    return "make it writable" if error.errno in _READ_ONLY else None


def _look_at(path: object) -> str:
    return f"look at {path}: put back what belongs there, or make it yours again"


def bug(error: BaseException) -> OcmError:
    """Return what must not be as an error that can be told."""
    message = f"a bug in OCM: {type(error).__name__}: {error}"
    return OcmError(message, hint="run it again with ocm --debug and report that", code="bug", exit_code=BUG)


class CommandFailed(OcmError):
    """A foreign program ended with a status that the caller did not expect."""

    def __init__(self, message: str, *, returncode: int, stderr: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="command_failed")
        self.returncode = returncode
        self.stderr = stderr


class NotRunning(OcmError):
    """The program of a backend is not there to be asked."""


class ClusterUnreachable(OcmError):
    """No answer comes from a cluster's API server, none that can be trusted, or that it cannot answer now."""

    def __init__(self, message: str, *, hint: str | None = None, code: str = "cluster_unreachable") -> None:
        super().__init__(message, hint=hint, code=code)


class UnreadableFile(OcmError):
    """A file of OCM's own is there and cannot be read."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"{path} cannot be read: {why}", hint=_look_at(path), code="unreadable")


class Locked(OcmError):
    """Another ocm is changing the same thing."""


class InTheWay(OcmError):
    """A step found what is not OCM's where its own was to be; it did nothing, so nothing is to be undone."""


class UndoIncomplete(OcmError):
    """A failed operation could not be undone: a person is needed."""

    def __init__(self, message: str, *, hint: str | None = None, details: tuple[str, ...] = ()) -> None:
        super().__init__(
            message, hint=hint, code="undo_incomplete", exit_code=UNDO_INCOMPLETE, details=details
        )
