"""What instances may have done to their owner from within: what lies in their states, and what is used up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openclaw_ocm.core.text import counted, printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.planning.findings import Finding
from openclaw_ocm.system import powers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths
    from openclaw_ocm.system.host import Host

_MOST_NAMES = 50_000
# For all instances together.
_SECONDS = 10.0
_WRONG = (powers.SET_ID, powers.CAPABLE, powers.DEVICES)


def outside_findings(host: Host, names: Collection[InstanceName]) -> Iterator[Finding]:
    """Yield what of instances has, or may have, power outside of their sandboxes."""
    if not names:
        return
    home = host.paths.home
    if powers.others_enter(home):
        problem = f"every user of this machine may enter {home}, and what an instance opens of its state"
        yield Finding(problem=problem, mend=f"chmod o-x {home}")
    for name in names:
        try:
            yield from _of_state(host.instance(name), _SECONDS / len(names))
        except OSError as error:
            problem = f"the state of {name} cannot be looked through: {error.strerror}"
            yield Finding(name=name, problem=problem)


def _of_state(paths: InstancePaths, seconds: float) -> Iterator[Finding]:
    name, mend = paths.name, f"look at it, and remove it: ocm enter {paths.name}"
    try:
        seen = powers.look_through(paths.state, most=_MOST_NAMES, seconds=seconds)
    except OcmError:
        # That it is not there is told where it is asked for.
        return
    are_near = powers.others_enter(paths.state)
    if are_near:
        problem = f"every user of this machine may enter the state of {name}"
        yield Finding(name=name, problem=problem, mend=f"chmod 700 {paths.state}", wrong=True)
    for kind, count in seen.count.items():
        what = f"the state of {name} has {count} {kind}, the first is {printable(seen.first[kind])}"
        if kind in _WRONG:
            yield Finding(name=name, problem=what, mend=mend, wrong=True)
        elif kind == powers.LINKED:
            yield Finding(name=name, problem=f"{what}: what it writes there it writes outside as well")
        elif are_near:
            yield Finding(name=name, problem=what, mend=mend)
    if seen.cut:
        problem = f"of the state of {name} only {counted(seen.looked, 'file')} were looked at: there are more"
        yield Finding(name=name, problem=problem)
