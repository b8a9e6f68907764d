"""An instance is worked on by the backend that its record names, whichever it is that new ones get."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.operations.kept import NAME, OTHER

from openclaw_ocm.backends import registry
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.operations.backups import archives_of
from openclaw_ocm.operations.expose import set_exposure
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.operations.rename import rename
from openclaw_ocm.operations.restore import restore
from openclaw_ocm.operations.schedule import Asked, set_schedule
from openclaw_ocm.operations.scheduled import run_scheduled
from openclaw_ocm.operations.secret import set_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import BackendName
    from openclaw_ocm.core.needs import Need
    from openclaw_ocm.system.host import Host


class Idle:
    """Timers of nobody."""

    def known(self) -> tuple[()]:
        return ()


class Other:
    """A backend that says that it has nothing, and is not to be asked for anything else."""

    name: ClassVar[BackendName] = "other"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def __init__(self, *, host: Host) -> None:
        self.host = host

    def timers(self, _purpose: object = None) -> Idle:
        return Idle()

    def written(self, _paths: object) -> tuple[()]:
        return ()

    def defined(self) -> tuple[()]:
        return ()

    def in_session(self) -> tuple[()]:
        return ()


def _expose(kept: Kept) -> None:
    for sources in (("192.168.0.0/16",), ()):
        set_exposure(kept.context, NAME, sources, kept.effort(), dry_run=False)


def _schedule(kept: Kept) -> None:
    for asked in (Asked(every="daily", keep={}, given={}), None):
        set_schedule(kept.context, NAME, asked, dry_run=False)
        if asked is not None:
            run_scheduled(kept.context, NAME)


def _replace(kept: Kept) -> None:
    kept.backup()
    (archive, *_) = archives_of(kept.host, (NAME,))
    restore(
        kept.context,
        NAME,
        RestoreRequest(archive=archive, name=NAME, replace=True),
        kept.effort(),
        dry_run=False,
    )


# In an order in which each finds what it needs.
VERBS: tuple[Callable[[Kept], object], ...] = (
    lambda kept: kept.rows(),
    lambda kept: kept.status(),
    lambda kept: kept.fix(kept.examine()),
    lambda kept: list(kept.logs()),
    lambda kept: kept.use("doctor"),
    lambda kept: kept.restart(),
    lambda kept: set_secret(kept.context, NAME, "ONE_KEY", "x", restart=kept.effort(), dry_run=False),
    _expose,
    lambda kept: kept.set_autostart(wanted=True),
    lambda kept: kept.set_autostart(wanted=False),
    _schedule,
    _replace,
    lambda kept: kept.stop(),
    lambda kept: kept.start(),
    lambda kept: kept.clone(),
    lambda kept: rename(kept.context, OTHER, parse_name(f"{NAME}-b"), kept.effort(), dry_run=False),
    lambda kept: kept.delete(force=True),
)


def test_no_verb_asks_the_backend_that_new_instances_get_instead_of_that_of_the_record(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy(sealed=False)
    others = {
        name: where for name, where in registry.BACKENDS.items() if name not in ("systemd", "supervisord")
    }
    monkeypatch.setattr(registry, "BACKENDS", {**others, "other": f"{__name__}:Other"})
    Path(kept.host.paths.settings).write_text('backend = "other"\n')
    assert kept.context.backend.name == "other"
    for verb in VERBS:
        verb(kept)
    assert list(kept.rows()) == [f"{NAME}-b"]
