"""`ocm open`: the addresses of the Control UIs of instances, and how a person at a browser gets there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from openclaw_ocm.core import tunnel
from openclaw_ocm.core.openclaw import control_ui
from openclaw_ocm.core.openclaw.control_ui import (
    admission,
    lets_in_pages_of,
    with_token,
    without_token,
)
from openclaw_ocm.core.status import State
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.instance import observed, open_all
from openclaw_ocm.instances.verify import verdicts
from openclaw_ocm.operations.planning.pages import page_here, pages_elsewhere
from openclaw_ocm.system import desktop, programs
from openclaw_ocm.system.host import is_booted
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.status import Health
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.instances.instance import Instance
    from openclaw_ocm.system.host import Host

_TEMPLATE = "pages.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlUi:
    """The Control UI of an instance that is ready.

    `token` tells whether `link`, and the links of `elsewhere`, by network, hold the token of the gateway.
    """

    name: InstanceName
    port: int
    url: str
    link: str = field(repr=False)
    token: Literal["shown", "hidden", "none"]
    elsewhere: Mapping[str, str] = field(repr=False)
    ssh: str
    notes: tuple[str, ...]


class Found(NamedTuple):
    """The pages of those that are ready, the errors of those that are not, and who is stopped by intent."""

    pages: list[ControlUi]
    errors: list[tuple[str, OcmError]]
    stopped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where the person sits: at a `desktop` of this machine, `remote` by ssh, or neither that anybody knows.

    `user` and `server` are what is typed to get here by ssh; in a `container`, where no systemd runs, nobody
    serves that.
    """

    desktop: bool
    remote: bool
    container: bool
    user: str
    server: tunnel.Server


def seat(host: Host, environ: Mapping[str, str]) -> Seat:
    """Return where the person sits, by the environment of the caller: one that came by ssh has no desktop."""
    connection = environ.get("SSH_CONNECTION", "")
    named = tunnel.Server(os.uname().nodename)
    return Seat(
        desktop=desktop.is_graphical(environ) and not connection,
        remote=bool(connection),
        container=not is_booted(),
        # Who became another user by sudo logged in as himself.
        user=environ.get("SUDO_USER") or host.user,
        server=tunnel.parse_connection(connection) or named,
    )


def find(
    context: Context, names: Sequence[InstanceName], place: Seat, *, everything: bool, with_tokens: bool
) -> Found:
    """Return the pages of instances, and of each that has none what to type about it.

    Of `everything` an instance that is stopped is no error, unless all are.
    """
    opened = open_all(context, names)
    seen = observed(opened.instances.values())
    judged = verdicts(seen.instances.values())
    found: dict[InstanceName, ControlUi] = {}
    errors: dict[InstanceName, OcmError] = {**opened.broken, **seen.broken}
    for name, one in seen.instances.items():
        try:
            found[name] = _page(one, judged[name])
        except OcmError as error:
            errors[name] = error
    idle = [name for name in errors if name in judged and judged[name].state is State.STOPPED]
    passed_over = idle if everything and found else []
    line = tunnel.line((page.port for page in found.values()), place.user, place.server)
    pages = [replace(found[name], ssh=line) for name in names if name in found]
    return Found(
        pages if with_tokens else [hidden(page) for page in pages],
        [(name, errors[name]) for name in names if name in errors and name not in passed_over],
        tuple(f"{errors[name].message}: {errors[name].hint}" for name in names if name in passed_over),
    )


def hidden(page: ControlUi) -> ControlUi:
    """Return a page without its token."""
    return replace(
        page,
        link=without_token(page.link),
        token="hidden" if page.token == "shown" else page.token,  # noqa: S105 - no token
        elsewhere={network: without_token(link) for network, link in page.elsewhere.items()},
    )


def show(context: Context, pages: Sequence[ControlUi], environ: Mapping[str, str]) -> str | None:
    """Have the user's browser show pages, a choice of them if they are several; return what hinders it."""
    links = [(page.name, page.link) for page in pages]
    document = control_ui.document(programs.text(_TEMPLATE), links)
    return desktop.show(context.host, environ, document)


def _page(one: Instance, verdict: Health) -> ControlUi:
    """Return the page of an instance, or raise `OcmError` where it is not ready or has none."""
    name, record = one.name, one.record
    if verdict.state is not State.READY:
        raise _not_ready(name, verdict)
    config = one.read_config()[1]
    if not control_ui.is_served(config):
        message = f"{name} has no Control UI: its gateway.controlUi.enabled is false"
        raise OcmError(message, hint=f"ocm edit {name} gateway.controlUi.enabled true", code="no_control_ui")
    way = admission(name, config, {**record.environment, **read_secrets(one.paths)})
    url, elsewhere = page_here(config, record), pages_elsewhere(config, record)
    return ControlUi(
        name=name,
        port=record.port,
        url=url,
        link=with_token(url, way.token),
        token="none" if way.token is None else "shown",
        elsewhere={network: with_token(page, way.token) for network, page in elsewhere.items()},
        ssh="",
        notes=(*filter(None, (way.why,)), *_strangers(name, config, elsewhere)),
    )


def _strangers(name: InstanceName, config: Mapping[str, Any], elsewhere: Mapping[str, str]) -> Iterator[str]:
    """Yield what else a browser of another machine needs that does not come by ssh."""
    for page in dict.fromkeys(elsewhere.values()):
        typed = lets_in_pages_of(name, config, page)
        if typed is not None:
            yield f"{name} lets in no page at {page} yet: {typed}"
    if elsewhere:
        yield f"the first time a browser there shows an ID to approve: ocm use {name} devices approve ID"


def _not_ready(name: InstanceName, verdict: Health) -> OcmError:
    """Return why there is no page that anybody could open, and what to type."""
    state = verdict.state
    reason = f": {printable(verdict.reason)}" if verdict.reason else ""
    if state is State.STOPPED:
        return OcmError(f"{name} is stopped{reason}", hint=f"ocm start {name}", code="not_running")
    hint = f"ocm status {name} tells when it is ready"
    if state is State.DRAINING:
        hint = f"ocm start {name}, once it has ended"
    elif verdict.taken:
        hint = f"stop that program, or ocm port {name} takes another port"
    elif state is State.FAILED:
        hint = f"ocm logs {name}"
    word = "failed" if state is State.FAILED else f"is {state.value}"
    return OcmError(f"{name} {word}{reason}", hint=hint, code="not_ready")
