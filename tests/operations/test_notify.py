"""`ocm notify` with a backend in memory: one message a change, whatever the ways and the disk do."""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from tests.backends import fake
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.backup.schedule import LastRun
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.notify import conditions
from openclaw_ocm.core.notify.queue import MOST_WAITING
from openclaw_ocm.core.purpose import ALL, Purpose
from openclaw_ocm.core.record import AutoUpgrade, Schedule, Shown
from openclaw_ocm.core.status import Activity, Answer
from openclaw_ocm.errors import CommandFailed, Invalid, OcmError
from openclaw_ocm.instances.history import DONE, FINISHED_LATER, UNDONE_LATER, HistoryEntry
from openclaw_ocm.operations import notify
from openclaw_ocm.operations.notify import add, check, list_ways, remove, send_test
from openclaw_ocm.operations.planning import facts
from openclaw_ocm.operations.planning.upgrading import LastUpgrade
from openclaw_ocm.operations.start import start, stop
from openclaw_ocm.system import files, posting
from openclaw_ocm.system.kept.notices import read_notices, read_ways
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.operations.kept import Kept

    from openclaw_ocm.core.notify.message import Message
    from openclaw_ocm.core.notify.ways import Way
    from openclaw_ocm.operations.notify import Notified
    from openclaw_ocm.operations.planning.result import Outcome
    from openclaw_ocm.system.host import Host

URL = "https://hooks.example.org/T0PSECRET"


class Post:
    """Where messages arrive; `broken` ways refuse theirs, and `dying` ends OCM after one has gone."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.dying = False

    def send(self, _host: Host, way: Way, message: Message) -> None:
        if way.name in self.broken:
            why = "its server answered HTTP 500"
            raise posting.NotSentError(why)
        self.got.append((way.name, message.title))
        if self.dying:
            raise KeyboardInterrupt

    def taken(self) -> list[tuple[str, str]]:
        got, self.got = self.got, []
        return got


@pytest.fixture
def post(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Post:
    """Return where messages arrive, on a machine with room on its disk, where minutes are nothing."""
    made = Post()
    monkeypatch.setattr(posting, "send", made.send)
    monkeypatch.setattr(conditions, "HOLD_SECONDS", 0.0)
    monkeypatch.setattr(facts, "_disks", lambda *_given: [])
    assert kept.home.is_dir()
    return made


def add_webhook(kept: Kept, name: str | None = None, *, dry_run: bool = False) -> Outcome:
    return add(kept.context, "webhook", name, notify.webhook_way(URL), dry_run=dry_run)


def look(kept: Kept, *, dry_run: bool = False) -> Notified:
    return check(kept.context, dry_run=dry_run)


def give_up(kept: Kept) -> None:
    kept.world.gateways[NAME].activity = Activity.FAILED
    kept.world.gateways[NAME].pid = None


def test_one_message_when_it_is_down_and_one_when_it_is_back(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    assert look(kept).told == ()
    give_up(kept)
    (told,) = look(kept).told
    assert (told.message.instance, told.message.condition, told.ways) == (NAME, "failed", ("webhook",))
    assert look(kept).told == ()
    kept.start()
    look(kept)
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is down"), ("webhook", f"{NAME} is ready again")]


def test_of_one_that_waits_for_its_turn_nothing_is_told(
    kept: Kept, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditions, "BUSY_SECONDS", 0.0)
    kept.deploy(autostart=True)
    add_webhook(kept)
    give_up(kept)
    kept.world.queued.add(NAME)
    look(kept)
    assert post.taken() == []
    kept.world.queued.clear()
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is down")]


def test_the_first_way_brings_the_timer_and_the_last_one_takes_it_along(kept: Kept) -> None:
    before = kept.files()
    first = add_webhook(kept)
    assert first.name == "webhook"
    assert first.changes == ("add the way webhook to https://hooks.example.org/...",)
    timers = kept.context.backend.timers(Purpose.NOTIFY)
    assert timers.observe([ALL])[ALL].active
    (definition,) = timers.definitions(ALL, "*:0/2")
    assert "notify check" in Path(definition.path).read_text()
    assert not [step for step in add_webhook(kept).steps if "ocm notify check" in step], "it runs already"
    remove(kept.context, "webhook", dry_run=False)
    assert timers.observe([ALL])[ALL].active
    look(kept)
    remove(kept.context, "webhook-2", dry_run=False)
    assert not timers.observe([ALL])[ALL].active
    assert kept.files() == before, "nothing is left"


def test_a_dry_run_changes_nothing_and_tells_no_secret(kept: Kept, post: Post) -> None:
    before = kept.files()
    outcome = add_webhook(kept, dry_run=True)
    assert "have ocm notify check run *:0/2" in outcome.steps
    assert "T0PSECRET" not in repr(outcome)
    assert kept.files() == before
    add_webhook(kept)
    kept.deploy()
    look(kept)
    give_up(kept)
    before = kept.files()
    would = look(kept, dry_run=True)
    assert [(told.message.title, told.ways, told.waits_for) for told in would.told] == [
        (f"{NAME} is down", (), ("webhook",))
    ]
    remove(kept.context, "webhook", dry_run=True)
    assert kept.files() == before
    assert post.taken() == []


def test_without_a_way_it_is_told_what_would_be_told(kept: Kept, post: Post) -> None:
    kept.deploy()
    give_up(kept)
    (told,) = look(kept, dry_run=True).told
    assert told.waits_for == ()
    assert post.taken() == []


def test_the_secret_is_in_one_file_for_its_owner_alone(kept: Kept) -> None:
    add_webhook(kept)
    assert [place for place, text in kept.files().items() if "T0PSECRET" in text] == [
        ".config/ocm/notify.toml"
    ]
    assert stat.S_IMODE(Path(kept.host.paths.ways).stat().st_mode) == 0o600
    history = Path(kept.host.paths.history).read_text()
    assert "T0PSECRET" not in history
    (shown,) = list_ways(kept.context)
    assert (shown.kind, shown.target) == ("webhook", "https://hooks.example.org/...")
    look(kept)
    assert stat.S_IMODE(Path(kept.host.paths.notices).stat().st_mode) == 0o600


def test_a_timer_that_cannot_be_set_leaves_nothing_behind(kept: Kept) -> None:
    before = kept.files()

    def fails(*_given: object) -> None:
        message = "no user manager"
        raise CommandFailed(message, returncode=1, stderr="")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fake.FakeTimers, "set", fails)
        with pytest.raises(OcmError, match="no user manager"):
            add_webhook(kept)
    assert kept.files() == before


def test_what_does_not_go_by_one_way_waits_and_keeps_it_from_no_other(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept, "first")
    add_webhook(kept, "second")
    look(kept)
    post.broken = {"first"}
    give_up(kept)
    done = look(kept)
    assert [(told.ways, told.waits_for) for told in done.told] == [(("second",), ("first",))]
    assert [(name, error.code) for name, error in done.failures] == [("first", "not_sent")]
    assert "T0PSECRET" not in repr(done)
    first, second = list_ways(kept.context)
    assert (first.failure, first.waiting, first.sent) == ("its server answered HTTP 500", 1, None)
    assert first.failing_since is not None
    assert (second.failure, second.waiting) == (None, 0)
    kept.start()
    look(kept)
    assert post.taken() == [("second", f"{NAME} is down"), ("second", f"{NAME} is ready again")]
    assert list_ways(kept.context)[0].failing_since == first.failing_since
    post.broken = set()
    found = look(kept)
    assert found.failures == ()
    assert [told.message.title for told in found.told] == [f"{NAME} is down", f"{NAME} is ready again"]
    assert post.taken() == [("first", f"{NAME} is down"), ("first", f"{NAME} is ready again")]
    assert list_ways(kept.context)[0].failure is None
    assert look(kept).told == ()


def test_a_way_that_is_slow_goes_on_at_the_next_look(
    kept: Kept, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy()
    add_webhook(kept)
    give_up(kept)
    with monkeypatch.context() as patch:
        patch.setattr(notify, "_WAY_SECONDS", 0.0)
        found = look(kept)
    assert ([told.waits_for for told in found.told], found.failures) == ([("webhook",)], ())
    assert post.taken() == []
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is down")]


def test_a_kill_after_a_message_went_repeats_it_and_loses_none(kept: Kept, post: Post) -> None:
    kept.deploy()
    kept.create(OTHER)
    add_webhook(kept)
    look(kept)
    give_up(kept)
    Path(kept.paths(OTHER).record).write_text("nonsense")
    post.dying = True
    with pytest.raises(KeyboardInterrupt):
        look(kept)
    post.dying = False
    look(kept)
    titles = [title for _way, title in post.taken()]
    assert sorted(set(titles)) == [f"{NAME} is down", f"{OTHER} cannot be looked at"]
    assert len(titles) == 3, "one of them twice"
    assert look(kept).told == ()


def test_a_way_that_is_new_is_told_what_is_wrong_already(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept, "first")
    give_up(kept)
    look(kept)
    add_webhook(kept, "second")
    look(kept)
    assert post.taken() == [("first", f"{NAME} is down"), ("second", f"{NAME} is down")]


def test_what_waited_for_a_way_that_is_gone_goes_by_no_other_of_its_name(kept: Kept, post: Post) -> None:
    kept.deploy()
    for name in ("first", "second"):
        add_webhook(kept, name)
    look(kept)
    post.broken = {"first"}
    give_up(kept)
    look(kept)
    kept.start()
    look(kept)
    remove(kept.context, "first", dry_run=False)
    add_webhook(kept, "first")
    post.broken = set()
    post.taken()
    look(kept)
    assert post.taken() == []


def test_of_a_way_that_never_works_the_oldest_are_dropped_and_that_is_told(
    kept: Kept, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy()
    add_webhook(kept)
    look(kept)
    post.broken = {"webhook"}
    monkeypatch.setattr(conditions, "AGAIN", 10**6)
    for _ in range(MOST_WAITING // 2 + 1):
        give_up(kept)
        look(kept)
        kept.start()
        look(kept)
    (shown,) = list_ways(kept.context)
    assert (shown.waiting, shown.lost) == (MOST_WAITING, 2)


def test_a_test_goes_at_once_or_says_why_not(kept: Kept, post: Post) -> None:
    with pytest.raises(OcmError, match="no way by which") as caught:
        notify.chosen(kept.context, ())
    assert caught.value.code == "way_unknown"
    add_webhook(kept)
    assert notify.chosen(kept.context, ()) == ("webhook",)
    send_test(kept.context, "webhook")
    assert post.taken() == [("webhook", "A test of ocm notify")]
    post.broken = {"webhook"}
    with pytest.raises(OcmError, match="did not go by webhook: its server answered HTTP 500") as caught:
        send_test(kept.context, "webhook")
    assert caught.value.code == "not_sent"


def test_names_are_taken_once_and_unknown_ones_refused(kept: Kept) -> None:
    add_webhook(kept, "ops")
    with pytest.raises(OcmError, match="there is a way ops already"):
        add_webhook(kept, "ops")
    for call in (lambda: remove(kept.context, "x", dry_run=False), lambda: send_test(kept.context, "x")):
        with pytest.raises(OcmError, match="there is no way x") as caught:
            call()
        assert caught.value.code == "way_unknown"


def test_a_program_is_found_when_it_is_added(kept: Kept) -> None:
    tell = kept.home / "bin" / "tell"
    tell.parent.mkdir()
    tell.write_text("#!/bin/sh\n")
    host = replace(kept.host, search_path=str(tell.parent))
    with pytest.raises(Invalid, match="there is no program tell"):
        notify.command_way(host, ("tell",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notify, "SAFE_PATH", "")
        with pytest.raises(OcmError, match="there is no sendmail"):
            notify.email_way(host, "ann@example.org")
    tell.chmod(0o755)
    tell.rename(tell.with_name("sendmail"))
    assert notify.email_way(host, "ann@example.org")("a").shown == "ann@example.org"
    assert notify.command_way(host, ("sendmail", "-x"))("a").shown == f"{tell.parent}/sendmail and 1 argument"


@pytest.mark.parametrize("words", [100 * ("x",), ("x" * 4097,), ("\udcff",)], ids=["many", "long", "no text"])
def test_a_program_that_the_file_cannot_keep_is_refused(kept: Kept, words: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        notify.command_way(kept.host, ("/bin/echo", *words))
    assert (caught.value.exit_code, caught.value.code) == (2, "way_invalid")


def test_no_program_of_an_instance_runs_outside_of_its_sandbox(kept: Kept) -> None:
    kept.deploy()
    tell = Path(kept.paths(NAME).state) / "tell"
    tell.write_text("#!/bin/sh\n")
    tell.chmod(0o755)
    link = kept.home / "tell"
    link.symlink_to(tell)
    turned = Path(kept.paths(NAME).state) / "turned"
    turned.symlink_to("/usr/bin/true")
    ours = kept.home / "ours"
    ours.mkdir()
    record = msgspec.structs.replace(
        kept.record(NAME), mounts=(Shown(path=str(ours), at="/srv/ours", writable=True),)
    )
    Path(kept.paths(NAME).record).write_text(encode_record(record))
    for argv in (
        (str(tell),),
        (str(link),),
        (str(turned),),
        ("sh", str(tell)),
        ("tee", "-a", str(ours / "told")),
    ):
        with pytest.raises(Invalid, match=f"lies where {NAME} can write") as caught:
            notify.command_way(kept.host, argv)
        assert caught.value.code == "way_invalid"
    made = notify.command_way(kept.host, ("tee", "-a", str(kept.home / "told")))
    assert made("a").shown.endswith("tee and 2 arguments")


def test_a_program_that_an_instance_was_shown_since_is_not_run(kept: Kept, post: Post) -> None:
    kept.deploy()
    tell = kept.home / "ours" / "tell"
    tell.parent.mkdir()
    tell.write_text("#!/bin/sh\n")
    tell.chmod(0o755)
    add(kept.context, "command", None, notify.command_way(kept.host, (str(tell),)), dry_run=False)
    send_test(kept.context, "command")
    assert len(post.taken()) == 1
    shown = Shown(path=str(tell.parent), at="/srv/ours", writable=True)
    Path(kept.paths(NAME).record).write_text(
        encode_record(msgspec.structs.replace(kept.record(NAME), mounts=(shown,)))
    )
    with pytest.raises(OcmError, match=f"{NAME} can write what would be run"):
        send_test(kept.context, "command")
    assert post.taken() == []


def test_what_a_program_is_called_with_is_kept_as_it_is(kept: Kept) -> None:
    words = ("", "a\nb", "\x1b[0m", "é" * 4096, "https://x.example/" + 4000 * "y", *(94 * ("x",)))
    add(kept.context, "command", None, notify.command_way(kept.host, ("/bin/echo", *words)), dry_run=False)
    (way,) = read_ways(kept.host.paths).way
    assert getattr(way, "argv", None) == ("/bin/echo", *words)


def test_a_file_of_ways_that_is_damaged_is_told_without_what_is_in_it(kept: Kept) -> None:
    add_webhook(kept)
    ways = Path(kept.host.paths.ways)
    for text in (f'{ways.read_text()}"{URL}" = 3\n', f"{ways.read_text()}{URL}\n", f'way = "{URL}"'):
        ways.write_text(text)
        with pytest.raises(OcmError, match="is corrupt") as caught:
            read_ways(kept.host.paths)
        assert "T0PSECRET" not in f"{caught.value.message} {caught.value.hint}"


def test_what_was_told_and_is_damaged_begins_anew(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    give_up(kept)
    look(kept)
    Path(kept.host.paths.notices).write_text("{")
    look(kept)
    assert post.taken() == 2 * [("webhook", f"{NAME} is down")]


def test_what_was_told_and_cannot_be_read_is_no_nothing(kept: Kept) -> None:
    add_webhook(kept)
    Path(kept.host.paths.notices).mkdir()
    with pytest.raises(OcmError, match="cannot be read"):
        look(kept)


def test_a_disk_that_is_full_is_told_once_for_there_is_room_to_note_it(
    kept: Kept, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.deploy()
    add_webhook(kept)
    look(kept)
    give_up(kept)

    def full(*_given: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "write_file", full)
    look(kept)
    look(kept)
    kept.world.gateways[NAME].activity, kept.world.gateways[NAME].pid = Activity.RUNNING, 2**23
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is down"), ("webhook", f"{NAME} is ready again")]
    assert read_notices(kept.host.paths).memory.conditions == ()


def test_a_lost_channel_is_told_by_a_name_that_openclaw_knows(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    kept.world.answers[NAME] = Answer(phase="started", failing=("telegram",))
    look(kept)
    kept.world.answers[NAME] = fake.READY
    look(kept)
    assert post.taken() == [
        ("webhook", f"{NAME} has lost telegram"),
        ("webhook", f"{NAME} has telegram again"),
    ]


@pytest.mark.parametrize(
    "word", ["state-database", "Buy now at example.org", "../../../../..", "dist", "a\nb"]
)
def test_what_an_instance_says_of_itself_is_in_no_message(kept: Kept, post: Post, word: str) -> None:
    kept.deploy()
    add_webhook(kept)
    kept.world.answers[NAME] = Answer(phase="started", failing=(word,))
    (told,) = look(kept).told
    assert told.message.title == f"{NAME} is not ready"
    assert word not in msgspec.json.encode(told.message).decode()
    assert post.taken()


def scheduled(kept: Kept, **fields: object) -> None:
    record = msgspec.structs.replace(kept.record(NAME), **fields)
    Path(kept.paths(NAME).record).write_text(encode_record(record))
    for purpose in (Purpose.BACKUP, Purpose.UPGRADE):
        every = record.times(purpose)
        if every is not None:
            kept.context.backends[fake.NAME].timers(purpose).set({NAME: every})


def ended(kept: Kept, run: LastRun | LastUpgrade) -> None:
    paths = kept.paths(NAME)
    path = paths.last_backup if isinstance(run, LastRun) else paths.last_upgrade
    files.write_file(path, msgspec.json.encode(run))


@pytest.mark.parametrize(
    ("fields", "run", "titles"),
    [
        (
            {"backups": Schedule(every="daily")},
            lambda now, error: LastRun(ended=now, error=error),
            (f"A backup of {NAME} failed", f"{NAME} is backed up again"),
        ),
        (
            {"auto_upgrade": AutoUpgrade(versions="all")},
            lambda now, error: LastUpgrade(ended=now, version="2026.9.7", error=error),
            (f"An upgrade of {NAME} failed", f"The upgrades of {NAME} go well again"),
        ),
    ],
)
def test_a_run_that_failed_is_told_without_why_and_once_it_goes_well(
    kept: Kept,
    post: Post,
    fields: dict[str, object],
    run: Callable[[float, str | None], LastRun | LastUpgrade],
    titles: tuple[str, str],
) -> None:
    kept.deploy()
    add_webhook(kept)
    scheduled(kept, **fields)
    assert look(kept).told == ()
    then = time.time() - 7200
    ended(kept, run(then, "the words of an agent"))
    (told,) = look(kept).told
    assert "words of an agent" not in msgspec.json.encode(told.message).decode()
    assert time.time() - 7210 < _seconds(told.message.since) < time.time() - 7100, "since it failed"
    assert look(kept).told == ()
    ended(kept, run(time.time(), None))
    look(kept)
    assert [title for _way, title in post.taken()] == list(titles)


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def test_backups_that_nothing_makes_are_told(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    scheduled(kept, backups=Schedule(every="daily"))
    kept.world.timers.clear()
    look(kept)
    assert post.taken() == [("webhook", f"No backups of {NAME} are made")]


def test_one_that_its_user_stopped_is_not_told_whatever_was_changed_since(kept: Kept, post: Post) -> None:
    kept.deploy(autostart=True)
    add_webhook(kept)
    look(kept)
    kept.stop()
    kept.set_autostart(wanted=True)
    assert look(kept).told == ()
    kept.start()
    kept.world.gateways[NAME].activity, kept.world.gateways[NAME].pid = Activity.STOPPED, None
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is stopped")], "ocm did not stop it this time"


@pytest.mark.parametrize("command", ["top: stop", "apply --yes"])
def test_whatever_command_stopped_it_is_its_users_word(kept: Kept, post: Post, command: str) -> None:
    kept.deploy(autostart=True)
    add_webhook(kept)
    stop(replace(kept.context, command=command), NAME, dry_run=False)
    assert look(kept).told == ()
    start(replace(kept.context, command=command), NAME, kept.effort(), dry_run=False)
    kept.world.gateways[NAME].activity, kept.world.gateways[NAME].pid = Activity.STOPPED, None
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is stopped")]


def test_a_stop_that_was_cut_off_and_one_under_another_name_are_its_users_word_too() -> None:
    def entry(operation: str | None, ended: str = DONE, **more: object) -> HistoryEntry:
        given = {"command": operation or "stop --now", "instance": "a", **more}
        return HistoryEntry(when="2026-01-01T00:00:00+00:00", operation=operation, ended=ended, **given)  # type: ignore[arg-type]

    stopped = facts._stopped
    assert stopped([entry(None)]) == {"a"}, "as an older ocm noted it"
    assert stopped([entry("stop", FINISHED_LATER)]) == {"a"}
    assert stopped([entry("stop", UNDONE_LATER)]) == set()
    assert stopped([entry("stop"), entry("rename", others=("b", "heir"))]) == {"b"}
    assert stopped([entry("rename", others=("b",))]) == set()
    assert stopped([entry("stop"), entry("start", command="apply --yes")]) == set()


def test_where_the_history_cannot_be_read_nobody_is_told_that_ocm_did_not_stop_it(
    kept: Kept, post: Post
) -> None:
    kept.deploy(autostart=True)
    add_webhook(kept)
    kept.stop()
    history = Path(kept.host.paths.history)
    history.unlink()
    history.mkdir()
    assert look(kept).told == ()
    history.rmdir()
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is stopped")]


def test_one_that_is_deleted_is_over(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    give_up(kept)
    look(kept)
    kept.delete(force=True)
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} is down"), ("webhook", f"Over: {NAME} is down")]


def test_a_throw_away_instance_of_a_drill_is_of_no_account(kept: Kept, post: Post) -> None:
    kept.deploy(parse_name("drill-0123abcd"))
    add_webhook(kept)
    kept.world.answers[parse_name("drill-0123abcd")] = Answer(problem="no answer")
    assert look(kept).told == ()
    assert post.taken() == []


def test_where_a_backend_does_not_answer_that_is_told_of_its_instances(kept: Kept, post: Post) -> None:
    kept.deploy()
    add_webhook(kept)
    kept.world.failing["observe"] = OcmError("the cluster is down", code="down")
    look(kept)
    assert post.taken() == [("webhook", f"{NAME} cannot be looked at")]


def test_disks_are_looked_at_once_each(kept: Kept) -> None:
    found = list(facts._disks(kept.context, [str(kept.home), "/proc", "/gone/somewhere"]))
    paths = [disk.path for disk in found]
    assert kept.home.is_relative_to(paths[0])
    assert paths[0] == "/" or os.path.ismount(paths[0])
    assert "/proc" in paths
    assert len(paths) == len(set(paths))
    assert found[0].free is not None
    assert found[0].size is not None


def test_a_disk_has_one_name_whatever_lies_on_it(kept: Kept) -> None:
    found = {tuple(one.path for one in facts._disks(kept.context, [place])) for place in ("/proc/1", "/proc")}
    assert len(found) == 1


def test_the_doctor_tells_of_ways_that_fail_and_of_a_timer_that_is_gone(kept: Kept, post: Post) -> None:
    def about() -> list[tuple[str, str | None]]:
        words = ("ocm notify", "by webhook")
        return [
            (one.what, one.fix) for one in kept.examine().problems if any(word in one.what for word in words)
        ]

    kept.deploy()
    assert about() == []
    add_webhook(kept)
    assert about() == []
    post.broken = {"webhook"}
    give_up(kept)
    look(kept)
    ((what, _fix),) = about()
    assert what.startswith("messages do not go by webhook since ")
    assert what.endswith(": its server answered HTTP 500; 1 message waits")
    post.broken = set()
    look(kept)
    (definition,) = kept.context.backend.timers(Purpose.NOTIFY).definitions(ALL, "*:0/2")
    Path(definition.path).unlink()
    ((what, fix),) = about()
    assert what == f"{definition.path} is missing, which has runs of ocm notify check made"
    assert fix == "have it run"
    mended = kept.fix(kept.examine())
    assert any("ocm notify check" in line for line in mended.fixed)
    assert about() == []
    assert Path(definition.path).exists()


def test_the_doctor_tells_of_ways_that_cannot_be_read(kept: Kept) -> None:
    Path(kept.host.paths.ways).write_text(f"{URL}\n")
    (problem,) = (one for one in kept.examine().problems if "notify.toml" in one.what)
    assert "is corrupt" in problem.what
    assert "T0PSECRET" not in json.dumps([problem.what, problem.mend])
