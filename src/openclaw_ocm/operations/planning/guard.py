"""The firewall's part of a change to an instance: the rules that it has and wants, and UFW as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from openclaw_ocm.core import firewall as core
from openclaw_ocm.core.firewall import ANY, Firewall
from openclaw_ocm.core.steps import SetRules
from openclaw_ocm.system import ufw

if TYPE_CHECKING:
    from openclaw_ocm.core.firewall import Change, Rule
    from openclaw_ocm.core.plan import Step
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The firewall rules of one instance, as its record had and as it wants them, and UFW as seen."""

    firewall: Firewall
    name: str
    port: int
    have: tuple[Rule, ...]
    want: tuple[Rule, ...]

    @property
    def change(self) -> Change:
        """What is to be done."""
        return core.difference(self.firewall, self.name, self.port, have=self.have, want=self.want)

    @property
    def steps(self) -> list[Step]:
        """The step that does it; none where nothing is to do, or where this user may not."""
        if self.firewall.rules is None or not core.commands(self.name, self.change):
            return []
        have = core.own_rules(self.firewall.rules, self.name, self.port)
        return [SetRules(name=self.name, port=self.port, rules=self.want, previous=have)]

    def told(self, host: Host, outcome: Outcome) -> Outcome:
        """Return the outcome with what the user should know of the rules, as they are now."""
        firewall, change = self.firewall, self.change
        if self.steps and outcome.dry_run:
            change = core.Change(obstacles=change.obstacles)
        elif self.steps:
            # UFW and sudo had the last word.
            firewall = ufw.observe(host)
            change = replace(self, firewall=firewall).change
        said = core.notes(firewall, self.name, change, want=self.want)
        return replace(outcome, notes=(*outcome.notes, *said))


_NO_GUARD = Guard(firewall=Firewall(installed=False), name="", port=0, have=(), want=())


def guard(
    host: Host, *, before: Record | None, after: Record | None, firewall: Firewall | None = None
) -> Guard:
    """Return the firewall's part of a change from one record to another; None where there is none.

    `firewall` is UFW as it will be then; for None it is asked how it is now.
    """
    record = after or before
    if record is None:
        return _NO_GUARD
    return Guard(
        firewall=firewall or ufw.observe(host),
        name=record.name,
        port=record.port,
        have=() if before is None else core.wanted_rules(before.port, before.expose),
        want=() if after is None else core.wanted_rules(after.port, after.expose),
    )


def rules_in_words(host: Host, record: Record) -> str:
    """Return in one line how the firewall rules of an instance stand."""
    rules = guard(host, before=None, after=record)
    return core.standing(rules.firewall, record.name, rules.change, want=rules.want)


def in_words(sources: tuple[str, ...]) -> str:
    """Return in words whom an instance is exposed to."""
    return "every machine" if ANY in sources else ", ".join(sources)
