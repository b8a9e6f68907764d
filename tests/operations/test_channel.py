"""`ocm channel` on the backend in memory: a bot comes, is told, is refused to a second one, and goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import samples
from tests.core.openclaw.test_channels import BOT, OTHER
from tests.operations.test_contents import EFFORT, Worker, worker

from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.openclaw.channels import TOKEN, bots, with_telegram
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations.channel import Bot, add, list_channels, remove
from openclaw_ocm.operations.planning import agents
from openclaw_ocm.operations.planning.twins import bots_in, pollers, refuse_twin, twin_findings
from openclaw_ocm.system.kept.records import encode_record, read_record
from openclaw_ocm.system.kept.secrets import read_secrets
from openclaw_ocm.system.machine import boxes
from openclaw_ocm.system.volume import Directory

if TYPE_CHECKING:
    from openclaw_ocm.operations.planning.result import Outcome

__all__ = ["worker"]
NAME = samples.NAME
TWIN = InstanceName("twin1")


def added(worker: Worker, token: str = BOT, *allow: str, dry_run: bool = False) -> Outcome:
    return add(worker.context, NAME, Bot(token=token, allow=allow), EFFORT, dry_run=dry_run)


def twin(worker: Worker) -> None:
    """Make another instance, whose config is written by hand, with the bot."""
    paths = worker.context.host.instance(TWIN)
    record = read_record(worker.context.host.paths, NAME)
    Path(paths.record).write_text(encode_record(record).replace(f'"{NAME}"', f'"{TWIN}"'))
    Path(paths.state).mkdir(mode=0o700)
    Path(paths.config).write_text(json.dumps(with_telegram({}, ())))
    Path(paths.secrets).write_text(f"{TOKEN}={BOT}\n")


def test_a_bot_is_there_with_its_token_apart_and_what_to_do_next_is_told(worker: Worker) -> None:
    pid = worker.pid
    done = added(worker)
    assert done.changed
    assert f"ocm use {NAME} pairing approve telegram CODE" in done.message
    assert read_secrets(worker.paths)[TOKEN] == BOT
    assert BOT not in Path(worker.paths.config).read_text()
    assert BOT not in f"{done} {worker.told}"
    assert worker.pid != pid, "the process reads its secrets when it starts"
    (found,) = list_channels(worker.context, NAME)
    assert (found.channel, found.enabled, found.access) == ("telegram", True, "whoever is approved")
    assert not added(worker).changed


def test_where_no_box_can_be_made_it_is_told_that_nobody_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    record, config = samples.record(), with_telegram({}, ())
    open_to_all = {**config, "agents": {"defaults": {"sandbox": {"mode": "off"}}}}
    monkeypatch.setattr(boxes, "BWRAP", "/nowhere/bwrap")
    (told,) = agents.unanswered(record, config)
    assert told.startswith(f"{NAME} answers in no chat, for that takes a box, and a box takes bubblewrap: ")
    assert "install bubblewrap" in told
    assert agents.unanswered(record, {}) == agents.unanswered(record, open_to_all) == ()
    monkeypatch.setattr(boxes, "BWRAP", "/")
    assert agents.unanswered(record, config) == ()


def test_who_is_allowed_is_so_from_the_start(worker: Worker) -> None:
    done = added(worker, BOT, "4242")
    assert "pairing" not in done.message
    assert list_channels(worker.context, NAME)[0].access == "1 of an allow-list"


def test_a_dry_run_changes_nothing(worker: Worker) -> None:
    before = worker.files()
    told = added(worker, dry_run=True)
    assert (told.changed, bool(told.steps)) == (False, True)
    assert worker.files() == before


def test_a_bot_that_goes_takes_its_token_along_out_of_the_process_too(worker: Worker) -> None:
    before = read_secrets(worker.paths)
    added(worker)
    pid = worker.pid
    assert remove(worker.context, NAME, "telegram", EFFORT, dry_run=False).changed
    assert read_secrets(worker.paths) == before
    assert list_channels(worker.context, NAME) == ()
    assert worker.pid != pid, "its environment had the token"
    again = remove(worker.context, NAME, "telegram", EFFORT, dry_run=False)
    assert (again.changed, again.message) == (False, "nothing to change")


def test_a_bot_of_another_instance_is_refused(worker: Worker) -> None:
    twin(worker)
    before = worker.files()
    with pytest.raises(OcmError) as caught:
        added(worker)
    assert (caught.value.code, caught.value.exit_code) == ("bot_taken", 1)
    assert f"ocm channel remove {TWIN} telegram" in str(caught.value.hint)
    assert BOT not in f"{caught.value} {caught.value.hint}"
    assert worker.files() == before
    assert added(worker, OTHER).changed


def test_a_bot_of_mains_is_refused(worker: Worker) -> None:
    worker.main({"channels": {"telegram": {"botToken": BOT}}})
    with pytest.raises(OcmError) as caught:
        added(worker)
    assert caught.value.message.startswith("main has this Telegram bot already")


def test_two_that_have_one_bot_all_the_same_are_found(worker: Worker) -> None:
    added(worker)
    assert list(twin_findings(worker.context.host)) == []
    twin(worker)
    (found,) = twin_findings(worker.context.host)
    assert found.wrong
    assert {NAME, TWIN} <= set(found.problem.replace(":", " ").split())
    paths = worker.context.host.instance(TWIN)
    its = bots_in(Directory(paths.state), paths.secrets)
    assert its == bots(with_telegram({}, ()), {TOKEN: BOT})
    with pytest.raises(OcmError):
        refuse_twin(worker.context.host, "a-third", its)


def test_what_cannot_be_read_keeps_nobody_from_anything(worker: Worker) -> None:
    twin(worker)
    Path(worker.context.host.instance(TWIN).secrets).write_text("no secret\n")
    Path(worker.home / ".openclaw/openclaw.json").write_text("no config")
    assert pollers(worker.context.host)[TWIN] == frozenset()
    assert added(worker).changed


def test_a_bot_of_mains_in_a_file_is_refused(worker: Worker, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{BOT}\n")
    worker.main({"channels": {"telegram": {"tokenFile": str(token)}}})
    with pytest.raises(OcmError) as caught:
        added(worker)
    assert caught.value.code == "bot_taken"
    token.unlink()
    token.mkdir()
    assert added(worker).changed


def test_a_channel_that_nobody_knows_is_not_taken(worker: Worker) -> None:
    added(worker)
    before = worker.files()
    for name in ("telegrm", "defaults"):
        with pytest.raises(OcmError) as caught:
            remove(worker.context, NAME, name, EFFORT, dry_run=False)
        assert (caught.value.code, caught.value.exit_code) == ("channel_unknown", 1)
        assert "telegram" in caught.value.message
    assert worker.files() == before
