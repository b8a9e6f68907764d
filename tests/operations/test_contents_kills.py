"""A kill before any single call to the file system leaves all of a change of contents, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import hosts, samples
from tests.killing import homes_of_kills, kill_before_each_call

from openclaw_ocm.core.names import MAIN
from openclaw_ocm.instances.transaction import unfinished
from openclaw_ocm.operations.planning.change import locked
from openclaw_ocm.operations.planning.contents import Contents, replace_contents
from openclaw_ocm.system import exchange

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.instances.context import Context

REPOSITORY = Path(__file__).parents[2]
OLD, NEW = b'{"a": "old"}\n', b'{"a": "new"}\n'


def name_of(what: str) -> InstanceName:
    return MAIN if what == "main" else samples.NAME


def config_of(context: Context, what: str) -> Path:
    paths = context.host.paths
    return Path(paths.main_config if what == "main" else paths.instance(samples.NAME).config)


def existing(context: Context, what: str) -> None:
    """Make what is to be replaced: the config alone of main."""
    paths = context.host.instance(samples.NAME)
    own = (paths.secrets, paths.inherited) if what == "worker" else ()
    for path in (config_of(context, what), *map(Path, own)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(OLD)


def replace(context: Context, what: str) -> None:
    contents = Contents(
        secrets=None if what == "main" else NEW,
        inherited=None if what == "main" else NEW,
        config=(OLD, NEW),
    )
    replace_contents(context, "sync", name_of(what), contents, done="", dry_run=False)


def found(home: Path) -> dict[str, str]:
    """Return what there is, but for OCM's locks and what OpenClaw keeps of main's config."""
    files = hosts.contents(home)
    return {
        path: text
        for path, text in files.items()
        if not path.startswith(".local/state/ocm/locks/") and ".bak" not in path
    }


def main(parent: str, means: str, what: str) -> None:
    """Kill a change of contents before each call; see `homes_of_kills`."""
    if means == "renames":
        exchange._exchange = lambda *_arguments: False
    kill_before_each_call(
        parent, lambda context: existing(context, what), lambda context: replace(context, what)
    )


@pytest.mark.parametrize("means", ["exchange", "renames"])
@pytest.mark.parametrize("what", ["worker", "main"])
def test_after_a_kill_before_any_single_call_the_old_or_the_new_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, means: str, what: str
) -> None:
    if means == "renames":
        monkeypatch.setattr(exchange, "_exchange", lambda *_arguments: False)
    homes = homes_of_kills(tmp_path, __name__, means, what)
    assert len(homes) > 25
    outcomes = []
    for home in homes:
        context = hosts.context(home)
        for name in (*unfinished(context), name_of(what)):
            with locked(context, name):
                pass
        assert unfinished(context) == ()
        texts = set(found(home).values())
        assert len(texts) == 1, f"killed before call {home.name}"
        outcomes.append(texts == {NEW.decode()})
        assert not [path for path in found(home) if ".ocm" in Path(path).name], home.name
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert outcomes == sorted(outcomes)
