"""What holds the path of an instance's state, and how it follows when the state gets another one.

As measured on OpenClaw 2026.9.6: its config, and columns of its databases. `cron_jobs.store_key` is what cron
jobs are found by; the state of a workspace is kept under the SHA-256 of the workspace's path. Transcripts and
the reports of past runs are history and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import lookup, with_value
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_PREFIX = "agents.defaults.sandbox.docker.containerPrefix"
_USUAL = ".openclaw"
_STATE = f"{_USUAL}-"
# So deep lies what holds the states of many: /home.
_SHALLOW = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """The state directory as it was called and as it is called now, both absolute.

    With `anywhere` one of the two is that of an OpenClaw which is no instance, and is called as it likes.
    """

    before: PurePosixPath
    after: PurePosixPath
    anywhere: bool = False

    def __post_init__(self) -> None:
        """Refuse what could not be told apart: what was moved would move once more."""
        for path in (self.before, self.after):
            named = len(path.parts) > _SHALLOW if self.anywhere else path.name.startswith(_STATE)
            if not path.is_absolute() or ".." in path.parts or not named:
                message = f"{str(path)!r} is no state directory of an instance"
                raise OcmError(message, code="path_invalid")
        if self.before in self.after.parents or self.after in self.before.parents:
            message = f"{self.after} and {self.before} lie one within the other"
            raise OcmError(message, code="path_invalid")

    @property
    def back(self) -> Move:
        """The move that undoes this one."""
        return Move(before=self.after, after=self.before, anywhere=self.anywhere)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The spellings of the path, in full and from the home, as OpenClaw takes it; none where it stays."""
        if self.before == self.after:
            return ()
        written = (str(self.before), str(self.after))
        if not all(path.name.startswith(_USUAL) for path in (self.before, self.after)):
            return (written,)
        return written, (f"~/{self.before.name}", f"~/{self.after.name}")


def moved_config(config: dict[str, Any], move: Move) -> dict[str, Any]:
    """Return a config in which every path that lies in the state follows the move."""
    changed = _moved(config, move.pairs)
    prefixes = {
        path.name: f"openclaw-sbx-{path.name.removeprefix(_STATE)}-" for path in (move.before, move.after)
    }
    if lookup(changed, _PREFIX) == prefixes[move.before.name]:
        changed = with_value(changed, _PREFIX, prefixes[move.after.name])
    found: dict[str, Any] = changed
    return found


def _moved(value: object, pairs: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _moved(item, pairs) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, pairs) for item in value]
    return moved_text(value, pairs) if isinstance(value, str) else value


def moved_text(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    """Return a text that is the path or begins with it with the new path in its place, any other as it is."""
    for before, after in pairs:
        # With the slash, or .openclaw-w10 would follow .openclaw-w1.
        if text == before or text.startswith(f"{before}/"):
            return after + text[len(before) :]
    return text
