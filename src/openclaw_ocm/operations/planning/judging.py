"""Has OpenClaw judge the config of a new instance before anything of it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import format_config, refuse_large
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system.openclaw.judge import judge_text

if TYPE_CHECKING:
    from openclaw_ocm.core.inheritance.extract import Inheritance
    from openclaw_ocm.instances.instance import Instance


def refuse_config(
    worker: Instance, config: dict[str, Any], found: Inheritance, *, trusted: bool
) -> tuple[str, ...]:
    """Raise `OcmError` where the OpenClaw of an instance to be would refuse the config that it gets.

    `found` is what it has of main or of another instance; one that an instance wrote is not `trusted`.
    Returns what to know where OpenClaw could not be asked, which is no word on the config.
    """
    text = format_config(config)
    refuse_large(text)
    worker.context.report("validate with OpenClaw")
    verdict = judge_text(worker.host, worker.record.runtime, text, found.secrets, trusted=trusted)
    if verdict.valid is None:
        said = printable(verdict.issues[-1])
        return (f"OpenClaw was not asked whether the config of {worker.name} is valid: {said}",)
    if not verdict.valid:
        message = f"OpenClaw would refuse what {worker.name} gets of {found.place}: {verdict.issues[0]}"
        hint = f"mend {found.place}; nothing was made"
        raise OcmError(message, hint=hint, code="config_invalid", details=verdict.issues[1:])
    return ()
