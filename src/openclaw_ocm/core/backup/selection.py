"""What of a state is part of a backup or a clone, by its path, and why the rest is not."""

from __future__ import annotations

import fnmatch
import re
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from openclaw_ocm.core import prefix, temporary
from openclaw_ocm.core.backup import layout
from openclaw_ocm.core.backup.patterns import MAX_PATTERNS

if TYPE_CHECKING:
    from pathlib import PurePosixPath

# Why things are left out of which nobody needs to be told one by one.
REMADE, TEMPORARY, CACHES = "made anew by OpenClaw", "temporary", "marked as a cache by CACHEDIR.TAG"
JOURNALS = "journals of databases"
_EXCLUDED = "excluded by "

# Only at the top of the state, and where no workspace lies: what OpenClaw makes anew.
_REMADE = frozenset({"cache", "tmp", "plugin-skills", "logs", "npm", "git", "dev", "tools"})
_SKILLS = ("sandbox", "skills-workspaces")
_TEMPORARY_NAME = re.compile(
    r".+\.lock|.+-shm|.+\.generation-.+\.sqlite|.+\.reindex-lock\.sqlite|\.fs-safe-replace\..+\.tmp"
    rf"|{temporary.ANY}",
    re.DOTALL,
)
# Keys, logins and databases, below them or they themselves.
_NEEDED = frozenset({"state", "credentials", "identity", "devices", ".env"})


def excluded_by(pattern: str) -> str:
    """Return the reason for which a pattern leaves something out."""
    return f"{_EXCLUDED}{pattern}"


def is_expected(reason: str) -> bool:
    """Tell whether nobody needs to be told each path that is left out for this reason."""
    return reason in (REMADE, TEMPORARY, CACHES, JOURNALS) or reason.startswith(_EXCLUDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is taken of the state directory `state`.

    `workspaces` are the paths below it of those that its config names: they are kept whole. `exclude` is what
    the user leaves out, `needed` are the members without which nothing could be restored. `tags` has a
    directory with a CACHEDIR.TAG be left out.
    """

    state: PurePosixPath
    workspaces: frozenset[str] = frozenset()
    exclude: tuple[str, ...] = ()
    needed: frozenset[str] = frozenset()
    tags: bool = False

    def left_out(self, path: str) -> str | None:
        """Return why a member is no part, None where it is one."""
        names = path.split("/")[1:]
        pattern = self._excluding(names)
        if pattern is not None and not self.is_needed(path):
            return excluded_by(pattern)
        if temporary.is_copies(names[0]):
            return TEMPORARY
        if self.is_in_workspace(path) or self.leads_to_workspace(path):
            return None
        if names[0] in _REMADE or tuple(names[:2]) == _SKILLS:
            return REMADE
        if names[0] == prefix.NAME:
            return REMADE if tuple(names[1:3]) in prefix.CACHES else None
        return TEMPORARY if _TEMPORARY_NAME.fullmatch(names[-1]) else None

    def refused(self, path: str) -> str | None:
        """Return the pattern that would leave out a member that is needed, None where none does."""
        return self._excluding(path.split("/")[1:]) if self.exclude and self.is_needed(path) else None

    def may_be_cache(self, path: str) -> bool:
        """Tell whether a directory is left out where it says that it is a cache."""
        parent = path.rpartition("/")[0]
        if not self.tags or self.leads_to_workspace(path) or self.is_needed(path):
            return False
        top, *below = path.split("/")[1:]
        if top == prefix.NAME and tuple(below[:2]) in prefix.ENVIRONMENTS:
            return False
        is_workspace = path.removeprefix(f"{layout.STATE}/") in self.workspaces or parent == layout.STATE
        return not (is_workspace and self.is_in_workspace(path))

    def is_in_workspace(self, path: str) -> bool:
        """Tell whether a member is a workspace or lies in one."""
        names = path.split("/")[1:]
        if names[0] == "workspace" or names[0].startswith("workspace-"):
            return True
        return bool(self.workspaces) and any(
            "/".join(names[:count]) in self.workspaces for count in range(1, len(names) + 1)
        )

    def leads_to_workspace(self, path: str) -> bool:
        """Tell whether a workspace lies below a member."""
        return _leads_to(self.workspaces, path.removeprefix(f"{layout.STATE}/"))

    def is_needed(self, path: str) -> bool:
        """Tell whether a member holds, or leads to, what is never left out by a pattern or a tag."""
        top, *below = path.split("/")[1:]
        if top in _NEEDED or path in self.needed or _leads_to(self.needed, path):
            return True
        return top == "agents" and (len(below) < 2 or below[1] == "agent")  # noqa: PLR2004 - agents/ID/agent

    def target(self, path: str, target: str) -> str | None:
        """Return a link's target as it is kept, None where the link is left out."""
        stored = layout.stored_target(path, target, self.state)
        if stored is None and layout.may_lead_out(path, target):
            is_agents = self.is_in_workspace(path) or path.startswith(f"{layout.STATE}/{prefix.NAME}/")
            return target if is_agents else None
        return stored

    def _excluding(self, names: list[str]) -> str | None:
        below = str(self.state) + "/"
        for pattern in self.exclude:
            within = pattern.removeprefix(below).removeprefix("/")
            if "/" not in pattern:
                if _matcher(pattern).fullmatch(names[-1]):
                    return pattern
            elif len(wanted := within.split("/")) == len(names) and all(
                _matcher(one).fullmatch(name) for one, name in zip(wanted, names, strict=True)
            ):
                return pattern
        return None


@lru_cache(maxsize=2 * MAX_PATTERNS)
def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern), re.DOTALL)


def _leads_to(paths: frozenset[str], path: str) -> bool:
    """Tell whether one of some paths lies below another: an instance names any number, of any depth."""
    ordered = _ordered(paths)
    index = bisect_left(ordered, f"{path}/")
    return index < len(ordered) and ordered[index].startswith(f"{path}/")


@lru_cache(maxsize=8)
def _ordered(paths: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(paths))
