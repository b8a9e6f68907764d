"""How the steps of an adoption are applied and undone, each to the same end if it runs twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.adoption import steps
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.document import format_config, lookup, parse_config, with_value
from openclaw_ocm.core.openclaw.moved import Move, moved_config
from openclaw_ocm.core.openclaw.settings import BIND, on_port
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.errors import OcmError
from openclaw_ocm.instances.configs import without_change
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.system import files, health
from openclaw_ocm.system.kept.adopted import read_adopted
from openclaw_ocm.system.openclaw import own_dotenv, own_logins, own_prints, own_services, own_state

if TYPE_CHECKING:
    from openclaw_ocm.core.record import Record
    from openclaw_ocm.instances.context import Context

_ASK_SECONDS, _PAUSE_SECONDS = 5.0, 0.5


def _set_service(step: steps.SetService, context: Context) -> None:
    _bring(step, step.after, context)


def _set_service_back(step: steps.SetService, context: Context) -> None:
    _bring(step, step.before, context)


def _bring(step: steps.SetService, wanted: steps.Service, context: Context) -> None:
    adopted = read_adopted(context.host.instance(InstanceName(step.name)))
    if adopted is None:
        # What is kept goes after that is undone: it was.
        return
    own_services.bring(context.host, step.unit, adopted.files, wanted)


def _copy_state(step: steps.CopyState, context: Context) -> None:
    host, source, target = context.host, PurePosixPath(step.source), PurePosixPath(step.path)
    if step.live:
        own_state.copy_live(host, source, target, step.left_out)
        own_logins.remove_logins(target)
    else:
        own_state.refuse_used(host, source)
        if step.noted is not None:
            own_prints.note(host, source, PurePosixPath(step.noted))
        own_state.copy_cold(host, source, target, step.left_out)
        own_state.refuse_used(host, source)
        if step.noted is not None:
            own_prints.refuse_changed(host, source, PurePosixPath(step.noted))
    own_state.with_config(PurePosixPath(step.file), target)
    own_state.make_directories(target)


def _refuse_changed(step: steps.RefuseChanged, context: Context) -> None:
    own_prints.refuse_changed(context.host, PurePosixPath(step.path), PurePosixPath(step.noted))


def _remove_former(step: steps.RemoveFormer, context: Context) -> None:
    own_state.remove_former(context.host, PurePosixPath(step.path))


def _put_back(step: steps.PutBack, context: Context) -> None:
    path = PurePosixPath(step.path)
    files.make_directory(path)
    own_state.copy_cold(context.host, PurePosixPath(step.source), path, ())


def _take_away(step: steps.PutBack, context: Context) -> None:
    own_state.remove_former(context.host, PurePosixPath(step.path))


def _take_back(step: steps.TakeBack, context: Context) -> None:
    paths = context.host.instance(InstanceName(step.name))
    adopted = read_adopted(paths)
    if adopted is None:
        raise OcmError(f"what {step.name} was before is not known any more", code="adopted_corrupt")
    move = Move(before=PurePosixPath(adopted.became), after=PurePosixPath(adopted.state), anywhere=True)
    after = format_config(moved_config(parse_config(adopted.after, source="the config"), move))
    worker = open_instance(context, paths.name)
    now = _as_adopted(worker.record, after, worker.read_config()[1])
    config, _said = without_change(adopted.before, after, format_config(now))
    worker.volume.write(CONFIG_NAME, config)
    if adopted.dotenv is not None:
        worker.volume.write(own_dotenv.NAME, own_dotenv.as_it_was(worker.volume, adopted.dotenv))


def _as_adopted(record: Record, after: bytes, now: dict[str, Any]) -> dict[str, Any]:
    """Return a config on its port of when it was adopted, and as open: OCM may have changed both since.

    `after` is what it said then.
    """
    then = parse_config(after, source="the config")
    port, bind = lookup(then, "gateway.port"), lookup(then, BIND)
    return with_value(on_port(now, before=record.port, after=port), BIND, bind)


def _await_gateway(step: steps.AwaitGateway, context: Context) -> None:
    name, deadline = InstanceName("former"), time.monotonic() + step.timeout_seconds
    context.report(f"wait for the gateway on port {step.port}")
    while not (answer := health.ask_all({name: step.port}, deadline_seconds=_ASK_SECONDS)[name]).ready:
        if time.monotonic() > deadline:
            message = f"the gateway of {step.unit} was not ready within {step.timeout_seconds:g} s"
            hint = f"journalctl --user --unit {step.unit} tells why; an older OpenClaw reads no newer state"
            details = tuple(filter(None, (answer.problem,)))
            raise OcmError(message, hint=hint, code="not_ready", details=details)
        time.sleep(_PAUSE_SECONDS)


_Done = Callable[[Any, "Context"], None]
# Each kind of step with what applies it, and what undoes it where there is something to undo.
STEPS: tuple[tuple[type, _Done, _Done | None], ...] = (
    (steps.SetService, _set_service, _set_service_back),
    (steps.CopyState, _copy_state, None),
    (steps.RefuseChanged, _refuse_changed, None),
    (steps.RemoveFormer, _remove_former, None),
    (steps.PutBack, _put_back, _take_away),
    (steps.TakeBack, _take_back, None),
    (steps.AwaitGateway, _await_gateway, None),
)
