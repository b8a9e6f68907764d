"""`ocm update-models`: a provider's model list into main's config or those of instances."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.models.endpoint import at_another_place
from openclaw_ocm.core.models.listing import PROVIDERS, Provider, read_models
from openclaw_ocm.core.models.update import merge
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw import document as configs
from openclaw_ocm.core.openclaw.json5 import with_member
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.edit import change_config, refuse_invalid
from openclaw_ocm.operations.planning.change import locked
from openclaw_ocm.operations.planning.contents import Contents, replace_contents, with_attempts
from openclaw_ocm.system.model_list import download, download_from
from openclaw_ocm.system.openclaw.configured import configured_endpoint
from openclaw_ocm.system.openclaw.main_config import read_main, validate_main

if TYPE_CHECKING:
    from openclaw_ocm.core.models.listing import Listing
    from openclaw_ocm.core.models.update import Change, Merged
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context
    from openclaw_ocm.operations.planning.repair import Effort

_COMMENTS_LOST = "the comments in main's config could not be kept: openclaw.json.bak has them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A list and where it belongs; `force` takes one that is empty or less than half of what is there.

    `effort` is how long a gateway that runs may take until it is ready with it.
    """

    provider: Provider
    listing: Listing
    force: bool
    dry_run: bool
    effort: Effort


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """What a list changed in one config, or with `dry_run` would change; `notes` are warnings.

    `steps` are those of the plan.
    """

    name: str
    changed: bool
    dry_run: bool
    providers: tuple[Change, ...]
    notes: tuple[str, ...]
    steps: tuple[str, ...] = ()


def fetch(context: Context, provider: str, url: str | None) -> tuple[Provider, Listing]:
    """Return a provider and the models that it lists, at `url` or at its own address, or raise `OcmError`.

    One that OCM does not know is that of main's config, and is asked with its key.
    """
    if provider in PROVIDERS:
        its = PROVIDERS[provider]
        return its, read_models(its, download(url or its.list_url, context.report))
    endpoint = configured_endpoint(context.host, provider)
    asked = endpoint if url is None else at_another_place(endpoint, url)
    page, notes = download_from(asked, context.report)
    configured = Provider(
        id=endpoint.name.lower(),
        list_url=asked.urls[0],
        base_url=endpoint.base_url,
        key_variable="",
        configured=True,
    )
    return configured, replace(read_models(configured, page), notes=notes)


def update(context: Context, name: InstanceName, request: Request) -> Updated:
    """Merge a list into the config of an instance, or of `MAIN`.

    Raises `OcmError` and changes nothing where `merge` refuses the list, where OpenClaw would refuse the
    result, and where a gateway that runs is not ready with it.
    """
    return _update_main(context, request) if name == MAIN else _update_instance(context, name, request)


def _merge(config: dict[str, Any], request: Request) -> Merged:
    return merge(config, request.provider, request.listing, force=request.force)


def _update_instance(context: Context, name: InstanceName, request: Request) -> Updated:
    merges: list[Merged] = []

    def change(config: dict[str, Any]) -> dict[str, Any]:
        merges.append(_merge(config, request))
        return merges[-1].config

    edited = change_config(
        context, name, change, effort=request.effort, dry_run=request.dry_run, operation="update-models"
    )
    merged = merges[-1]
    return Updated(
        name=name,
        changed=edited.changed,
        dry_run=request.dry_run,
        providers=merged.changes,
        notes=(*merged.notes, *edited.notes),
        steps=edited.steps,
    )


def _update_main(context: Context, request: Request) -> Updated:
    with locked(context, MAIN):
        return with_attempts(context, MAIN, lambda: _update_main_once(context, request))


def _update_main_once(context: Context, request: Request) -> Updated:
    host = context.host
    before = read_main(host)
    config = configs.parse_config(before, source=str(host.paths.main_config))
    merged = _merge(config, request)
    notes = list(merged.notes)
    after: bytes | None = None
    if configs.changed_keys(config, merged.config):
        after = _rewrite(before, merged)
        if after is None:
            after = configs.format_config(merged.config)
            notes.append(_COMMENTS_LOST)
        configs.refuse_large(after)
        context.report("validate with OpenClaw")
        refuse_invalid(validate_main(host, after), MAIN)
    contents = Contents(config=None if after is None else (before, after))
    outcome = replace_contents(context, "update-models", MAIN, contents, done="", dry_run=request.dry_run)
    return Updated(
        name=MAIN,
        changed=outcome.changed,
        dry_run=request.dry_run,
        providers=merged.changes,
        notes=tuple(notes),
        steps=outcome.steps,
    )


def _rewrite(text: bytes, merged: Merged) -> bytes | None:
    """Return main's text with the providers changed and all else as it was, None where that does not work."""
    try:
        rewritten = text.decode()
        for change in merged.changes:
            value = merged.config["models"]["providers"][change.provider]
            rewritten = with_member(rewritten, ("models", "providers", change.provider), value)
        after = rewritten.encode(errors="backslashreplace")
        parsed = configs.parse_config(after, source="main's config")
    except (ValueError, IndexError, OcmError):
        return None
    return None if configs.changed_keys(parsed, merged.config) else after
