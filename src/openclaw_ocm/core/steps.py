"""Steps as data: what a plan prints, what apply runs and what the transaction journal keeps. No secrets.

A tag stays what it is; what the OCM before this one could not read takes another `core.journal.VERSION`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from openclaw_ocm.core.firewall import Rule
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose


class OfInstance(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to the instance `name`; `words` say it."""

    words: ClassVar[str]
    name: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"{self.words} {self.name}"


class WriteRecord(msgspec.Struct, frozen=True, tag="write-record", kw_only=True):
    """Write the instance's record, which also reserves its port; `previous` is the text it replaces."""

    path: str
    text: str
    previous: str | None = None

    def describe(self) -> str:
        """Return the step in words."""
        return f"write {'record' if self.path.split('/')[-2:-1] == ['instances'] else 'settings'} {self.path}"


class MakeState(msgspec.Struct, frozen=True, tag="make-state", kw_only=True):
    """Make the state directory, which must not exist yet."""

    path: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"make state directory {self.path}"


class MakeShell(msgspec.Struct, frozen=True, tag="make-shell", kw_only=True):
    """Make what the sandbox shows of OCM, and its /tmp; an undo removes a `fresh`, remakes a `kept` one."""

    shell: str
    scratch: str
    fresh: bool
    kept: bool = False

    def describe(self) -> str:
        """Return the step in words."""
        return f"make sandbox directories {self.shell} and {self.scratch}"


class WriteConfig(msgspec.Struct, frozen=True, tag="write-config", kw_only=True):
    """Write the first OpenClaw config; the gateway's token is generated when the step runs.

    With `inherit`, main or the name of an instance, what that has is read when the step runs, and kept.
    """

    path: str
    model: str | None = None
    inherit: str | None = None

    def describe(self) -> str:
        """Return the step in words."""
        inherited = f" and the providers, models and keys of {self.inherit}" if self.inherit else ""
        return f"write config {self.path} with a new gateway token{inherited}"


class CloneConfig(msgspec.Struct, frozen=True, tag="clone-config", kw_only=True):
    """Write the first OpenClaw config of a clone: what `source` has when the step runs, and its own token."""

    path: str
    source: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"write config {self.path} with a new gateway token and settings of {self.source}"


class CopyWorkspaces(msgspec.Struct, frozen=True, tag="copy-workspaces", kw_only=True):
    """Copy the workspaces of the state `source`, as they are when the step runs, to the state `path`."""

    path: str
    source: str
    workspaces: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the step in words."""
        return f"copy the workspaces in {self.source} to {self.path}"


class LinkConfig(msgspec.Struct, frozen=True, tag="link-config", kw_only=True):
    """Link the config to where users look for it."""

    link: str
    target: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"link {self.link} to the config"


class WriteDefinition(msgspec.Struct, frozen=True, tag="write-definition", kw_only=True):
    """Write the definition; `previous` is the text it replaces, None where there was none."""

    name: str
    path: str
    text: str
    previous: str | None = None

    def describe(self) -> str:
        """Return the step in words."""
        return f"{'write' if self.previous is None else 'replace'} definition {self.path} of {self.name}"


class Load(OfInstance, frozen=True, tag="load", kw_only=True):
    """Have the backend take up the definition as it is on disk."""

    words = "load the definition of"


class RemoveDefinition(OfInstance, frozen=True, tag="remove-definition", kw_only=True):
    """Remove the definition of a stopped gateway and all else that the backend keeps of it."""

    words = "remove the definition of"


class Enable(OfInstance, frozen=True, tag="enable", kw_only=True):
    """Have the instance start with the machine."""

    words = "enable"


class Disable(OfInstance, frozen=True, tag="disable", kw_only=True):
    """Have the instance no longer start with the machine."""

    words = "disable"


class Start(OfInstance, frozen=True, tag="start", kw_only=True):
    """Start the gateway."""

    words = "start"


class Remember(msgspec.Struct, frozen=True, tag="remember", kw_only=True):
    """Note whether a gateway runs, and as which process: an undo, after that of all else, brings it back."""

    name: str
    runs: bool
    pid: int | None
    since: float | None

    def describe(self) -> str:
        """Return the step in words."""
        return f"note that an undo leaves {self.name} {'running' if self.runs else 'stopped'}"


class Restart(OfInstance, frozen=True, tag="restart", kw_only=True):
    """Restart the gateway, or start it; what `Remember` noted before is what an undo brings back."""

    words = "restart"


class Stop(OfInstance, frozen=True, tag="stop", kw_only=True):
    """Stop the gateway and every session in the instance's sandbox; `ran` tells whether an undo starts it."""

    words = "stop"
    ran: bool


class Verify(msgspec.Struct, frozen=True, tag="verify", kw_only=True):
    """Wait until the gateway is ready, then prove the sandbox from within."""

    name: str
    timeout_seconds: float

    def describe(self) -> str:
        """Return the step in words."""
        return f"wait until {self.name} is ready and prove its sandbox from within"


class SetBind(msgspec.Struct, frozen=True, tag="set-bind", kw_only=True):
    """Have a stopped gateway listen elsewhere (gateway.bind); `previous` is None where it was not set."""

    name: str
    bind: str
    previous: str | None

    def describe(self) -> str:
        """Return the step in words."""
        return f"set gateway.bind of {self.name} to {self.bind}"


class SetRules(msgspec.Struct, frozen=True, tag="set-rules", kw_only=True):
    """Give the instance on `port` these firewall rules and no others; `previous` are those that it had."""

    name: str
    port: int
    rules: tuple[Rule, ...]
    previous: tuple[Rule, ...]

    def describe(self) -> str:
        """Return the step in words."""
        if not self.rules:
            return f"remove the firewall rules of {self.name}"
        return f"set firewall rules of {self.name}: {', '.join(rule.describe() for rule in self.rules)}"


class SetTimer(msgspec.Struct, frozen=True, tag="set-timer", kw_only=True):
    """Have it done at the times `every`, None for no more; `previous` are those until now.

    With the same times, what is missing or was edited is made anew and the time of the last run is kept.
    """

    name: str
    every: str | None
    previous: str | None
    purpose: Purpose = Purpose.BACKUP

    def describe(self) -> str:
        """Return the step in words."""
        what = self.purpose.plural
        if self.purpose not in OF_INSTANCES:
            return f"have {self.purpose.typed} run {'no more' if self.every is None else self.every}"
        if self.every is None:
            return f"end the scheduled {what} of {self.name}"
        return f"schedule {what} of {self.name}: {self.every}"


class Stage(msgspec.Struct, frozen=True, tag="stage", kw_only=True):
    """Make a directory of OCM's own, in which something is made ready; an undo removes it, and `files`."""

    path: str
    files: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the step in words."""
        return f"make ready in {self.path}"


class StageFiles(msgspec.Struct, frozen=True, tag="stage-files", kw_only=True):
    """Make files ready that hold what no plan may, where no instance reaches; an undo removes them."""

    files: tuple[str, ...]

    def describe(self) -> str:
        """Return the step in words."""
        return f"make ready {', '.join(self.files)}"


class Exchange(msgspec.Struct, frozen=True, tag="exchange", kw_only=True):
    """Put what is `staged`, of that `inode`, in the place of `path`, in one move and on one file system.

    What it replaces is then where it was staged.
    """

    path: str
    staged: str
    inode: int

    def describe(self) -> str:
        """Return the step in words."""
        return f"put {self.staged} in the place of {self.path}"


class ReplaceConfig(msgspec.Struct, frozen=True, tag="replace-config", kw_only=True):
    """Put what is staged as `after` in the place of the config of an instance, or of main.

    What is staged as `before` is what the config was. One that OpenClaw writes meanwhile is not lost: with
    another than that in its place the step fails, and an undo takes back what changed from `before` to
    `after` and nothing else. `beside` is the name by which one is exchanged for the other in its directory.
    """

    name: str
    before: str
    after: str
    beside: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"replace the config of {self.name}"


class RewritePaths(msgspec.Struct, frozen=True, tag="rewrite-paths", kw_only=True):
    """Have the config and the databases of a stopped instance follow its state from `before` to `after`.

    One that is `fresh`, of an archive, also forgets who used the databases and what was still to be sent;
    there is nothing to undo, for an undo does not keep it. Nor does it one that is a `copied` state.
    """

    name: str
    before: str
    after: str
    fresh: bool
    copied: bool = False

    def describe(self) -> str:
        """Return the step in words."""
        if self.before == self.after:
            return f"forget in the databases of {self.name} who used them"
        return f"rewrite paths in {self.name}: {self.before} to {self.after}"


class SetSource(msgspec.Struct, frozen=True, tag="set-source", kw_only=True):
    """Have an instance inherit from the one that is now called `source`; it was `previous`."""

    name: str
    source: str
    previous: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"have {self.name} inherit from {self.source}"


class RemoveFile(msgspec.Struct, frozen=True, tag="remove-file", kw_only=True):
    """Remove a file or a link of OCM's."""

    path: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"remove {self.path}"


class RemoveLink(msgspec.Struct, frozen=True, tag="remove-link", kw_only=True):
    """Remove the link to the config, and the directory that held it where nothing else is left in it."""

    link: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"remove {self.link}"


class RemoveTree(msgspec.Struct, frozen=True, tag="remove-tree", kw_only=True):
    """Remove a directory of OCM's with all that is in it."""

    path: str

    def describe(self) -> str:
        """Return the step in words."""
        return f"remove {self.path} with all that is in it"
