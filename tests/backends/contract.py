"""What every backend keeps to, whatever it is: each check is a function of a home with nothing in it.

Without pytest, since a backend may be at home in a machine that has none: `tests.machine.test_contract` runs
them there.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.backends.home import PATIENCE_SECONDS, SERVE

from openclaw_ocm.backends.definition import is_edited, is_made_by_ocm
from openclaw_ocm.backends.registry import BACKENDS
from openclaw_ocm.core.names import InstanceName
from openclaw_ocm.core.purpose import OF_INSTANCES, Purpose
from openclaw_ocm.core.status import CONFIG_ERROR
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.backends.home import Home

    from openclaw_ocm.backends.protocol import Backend

# As OpenClaw prints: each line with its time.
TIMED = """\
say() { echo "$(date -u +%Y-%m-%dT%H:%M:%S.%3N+00:00) $1"; }
trap 'say down; echo down >>"$OPENCLAW_STATE_DIR/heard"; exit 0' TERM
say up
while :; do sleep 0.1; done
"""
# As one waits for an agent's turn that never ends.
DEAF = """\
trap '' TERM
echo up
while :; do sleep 0.1; done
"""
DAY = 86400.0


def of_this_run(home: Home[Backend], word: str) -> InstanceName:
    """Return a name of this home alone: by it sessions and logs are found, wherever the home is."""
    return InstanceName(word + home.home.name.rpartition("-")[2])


def other_of(home: Home[Backend]) -> InstanceName:
    """Return a name that begins with that of the first instance."""
    return InstanceName(f"{of_this_run(home, 'one')}-a")


def make_one(home: Home[Backend], script: str = SERVE) -> InstanceName:
    return home.make(of_this_run(home, "one"), script)


def make_other(home: Home[Backend]) -> InstanceName:
    return home.make(other_of(home))


@contextlib.contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """Fail where the block raises no error of that kind with a sentence in it."""
    try:
        yield
    except kind:
        return
    raise AssertionError("it was not refused")


def it_goes_by_the_name_it_is_registered_under(home: Home[Backend]) -> None:
    assert home.backend.name in BACKENDS
    assert home.backend.answers() is True
    home.backend.check(sealed=False)
    assert all(isinstance(note, str) for note in home.backend.notes())


def names_go_in_and_a_state_for_each_comes_out(home: Home[Backend]) -> None:
    one, other, nobody = make_one(home), make_other(home), of_this_run(home, "nobody")
    assert home.backend.observe([]) == {}
    found = home.backend.observe([nobody, other, one])
    assert set(found) == {nobody, other, one}
    assert {process.activity for process in found.values()} == {"stopped"}
    assert [found[name].installed for name in (one, other, nobody)] == [True, True, False]
    assert {*home.backend.defined()} >= {one, other}


def of_one_that_it_never_saw_it_says_so(home: Home[Backend]) -> None:
    nobody = of_this_run(home, "nobody")
    process = home.observe(nobody)
    assert (process.activity, process.installed, process.autostart) == ("stopped", False, False)
    assert (process.run, process.since, process.restarts) == (None, None, 0)
    assert not process.changed_on_disk
    assert nobody not in home.backend.defined()
    assert home.said(nobody) == []
    with refused(OcmError):
        home.backend.start([nobody])


def what_is_not_there_is_stopped_disabled_and_removed_without_a_word(home: Home[Backend]) -> None:
    nobody = of_this_run(home, "nobody")
    names = [nobody]
    for change in (
        home.backend.load,
        home.backend.stop,
        home.backend.stop_sessions,
        home.backend.disable,
        home.backend.remove,
        home.backend.timers().clear,
    ):
        change(names)
        change([])
    home.backend.start([])
    home.backend.enable([])
    home.backend.timers().set({})
    assert not home.observe(nobody).installed


def a_definition_is_signed_and_says_the_same_each_time(home: Home[Backend]) -> None:
    name = make_one(home)
    definition = home.definition(name)
    assert definition == home.definition(name)
    assert is_made_by_ocm(definition.text)
    assert not is_edited(definition.text)
    assert is_edited(f"{definition.text}#")
    assert definition.path != home.definition(other_of(home)).path
    assert home.backend.definition_path(name) == definition.path


def a_gateway_starts_once_and_stops_once(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    home.backend.load([one, other])
    begun = time.time()
    process, beside = home.start(one, other)
    assert process.activity == "running"
    assert process.definition == str(home.definition(one).path)
    assert process.since is not None
    assert abs(process.since - begun) < PATIENCE_SECONDS
    # Of two that are no processes of this machine the beginnings may be the same.
    assert process.run is not None
    assert process.pid is None or process.pid != beside.pid
    home.backend.start([one])
    assert home.observe(one).run == process.run, "one that runs is left alone"
    home.backend.stop([one])
    stopped = home.observe(one)
    assert (stopped.activity, stopped.run, stopped.installed) == ("stopped", None, True)
    home.backend.stop([one])
    assert home.observe(one).activity == "stopped"
    assert home.observe(other).run == beside.run, "a longer name is another instance's"
    (again,) = home.start(one)
    assert again.run not in (None, process.run)


def a_gateway_that_is_stopped_hears_of_it_first(home: Home[Backend]) -> None:
    name = make_one(home, TIMED)
    # More than once: what a supervisor makes of a process may depend on which of two was faster.
    for _ in range(home.rounds):
        home.start(name)
        home.backend.stop([name])
    if home.keeps_log:
        wait_for(lambda: words(home, name).count("down") == home.rounds, lambda: home.said(name))
    else:
        assert home.backend.volume(name).read("heard", limit=100) == b"down\n" * home.rounds


def a_gateway_that_does_not_stop_is_killed(home: Home[Backend]) -> None:
    name = make_one(home, DEAF)
    assert home.backend.kill([]) == ()
    home.start(name)
    assert home.backend.kill([name]) == (), "nobody stops it"
    with ThreadPoolExecutor(1) as others:
        stopped = others.submit(home.backend.stop, [name])
        wait_for(lambda: home.backend.kill([name]) == (name,), lambda: home.observe(name))
        stopped.result(PATIENCE_SECONDS)
    assert home.observe(name).activity == "stopped"


def a_config_that_is_refused_keeps_a_gateway_down_until_it_is_forgotten(home: Home[Backend]) -> None:
    name = make_one(home, f"exit {CONFIG_ERROR}")
    with contextlib.suppress(OcmError):
        # Whether a gateway ends before its start is over is chance.
        home.backend.start([name])
    failed = home.wait_for(name, lambda seen: seen.activity == "failed")
    assert (failed.run, failed.exit_status) == (None, CONFIG_ERROR)
    assert failed.restarts == 0 or not home.gives_up
    home.backend.stop([name])
    assert home.observe(name).activity == "stopped"


def one_that_ends_waits_to_be_started_again_and_not_after_a_stop(home: Home[Backend]) -> None:
    name = make_one(home, "exit 1")
    home.backend.start([name])
    waiting = home.wait_for(name, lambda seen: seen.activity == "waiting")
    assert (waiting.run, waiting.exit_status) == (None, 1)
    home.backend.stop([name])
    assert home.observe(name).activity == "stopped"


def enabling_starts_nothing_and_disabling_stops_nothing(home: Home[Backend]) -> None:
    name = make_one(home)
    home.backend.load([name])
    for _ in range(2):
        home.backend.enable([name])
        enabled = home.observe(name)
        assert (enabled.autostart, enabled.activity) == (True, "stopped")
    (process,) = home.start(name)
    for _ in range(2):
        home.backend.disable([name])
        assert not home.observe(name).autostart
    assert home.observe(name).run == process.run


def a_definition_edited_on_disk_shows_and_counts_from_the_next_start(home: Home[Backend]) -> None:
    name = make_one(home)
    home.backend.load([name])
    (before,) = home.start(name)
    assert not before.changed_on_disk
    home.define(name, change=lambda text: f"{text}\n# by hand\n")
    edited = home.observe(name)
    assert (edited.run, edited.changed_on_disk) == (before.run, True)
    home.backend.load([name])
    assert home.observe(name).run == before.run, "a gateway that runs goes on as it is"
    home.backend.stop([name])
    (after,) = home.start(name)
    assert not after.changed_on_disk
    assert list(home.backend.violations(name, after)) == []


def a_definition_that_is_gone_is_taken_up_as_well(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    home.backend.load([one, other])
    home.start(one)
    home.backend.stop([one])
    files.remove_file(home.definition(one).path)
    home.backend.load([one])
    assert not home.observe(one).installed
    assert one not in home.backend.defined()
    assert other in home.backend.defined()
    with refused(OcmError):
        home.backend.start([one])


def what_is_removed_leaves_nothing(home: Home[Backend]) -> None:
    one = make_one(home)
    files.remove_file(home.definition(one).path)
    before = kept(home)
    home.define(one)
    home.backend.load([one])
    for purpose in Purpose:
        home.backend.timers(purpose).set({one: "daily"})
    home.start(one)
    # Not before: what the first timer brings would start it, and it would say nothing new.
    home.backend.enable([one])
    home.backend.stop([one])
    for purpose in Purpose:
        home.backend.timers(purpose).clear([one])
    home.backend.remove([one])
    left = kept(home) - before
    assert left == set(), left
    process = home.observe(one)
    assert (process.activity, process.installed, process.autostart) == ("stopped", False, False)
    assert one not in home.backend.defined()
    home.backend.remove([one])


def kept(home: Home[Backend]) -> set[str]:
    """Return every file and link in the home and where units are, but the state's and OCM's own locks."""
    places = (home.home, Path(home.host.paths.config_home))
    found = (path for place in places for path in place.rglob("*") if not path.is_dir() or path.is_symlink())
    return {str(path) for path in found if ".openclaw-" not in str(path) and not path.match("locks/@*.lock")}


def what_is_not_up_is_not_proved_and_what_is_not_sealed_need_not_be(home: Home[Backend]) -> None:
    one = make_one(home)
    assert home.proof(one), "nothing was looked at"
    if home.always_seals:
        with refused(Invalid):
            home.definition(other_of(home), sealed=False)
        return
    other = home.make(other_of(home), sealed=False)
    home.backend.load([other])
    home.start(other)
    assert home.proof(other, sealed=False) == ()


def every_gateway_that_is_asked_after_has_an_answer(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    assert home.backend.ask([], deadline_seconds=1) == {}
    assert home.backend.strangers([]) == {}
    gateways = [home.gateway(name) for name in (one, other)]
    # What else is on the machine may well listen where they would.
    assert set(home.backend.ask(gateways, deadline_seconds=PATIENCE_SECONDS)) == {one, other}
    assert {*home.backend.strangers(gateways)} <= {one, other}


def only_of_one_that_lives_is_known_what_it_uses(home: Home[Backend]) -> None:
    name = make_one(home)
    down = home.observe(name)
    assert not home.backend.lives(down)
    assert home.backend.use(down) == (None, None)
    home.backend.load([name])
    (up,) = home.start(name)
    assert home.backend.lives(up)
    memory, seconds = home.backend.use(up)
    assert memory is None or memory > 0
    assert seconds is None or seconds >= 0
    home.backend.stop([name])
    assert not home.backend.lives(home.observe(name))


def what_a_state_holds_is_read_and_written_where_it_is(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    volume = home.backend.volume(one)
    volume.write("config", b"one")
    volume.write("config", b"another")
    assert volume.read("config", limit=7) == b"another"
    assert volume.read("config", limit=4, tail=True) == b"ther"
    assert volume.place("config").endswith("config")
    done = home.inside(one, "/bin/sh", "-c", "cat config; mkdir -p a/b; echo below >a/b/c")
    assert done.stdout == "another", "it is what the instance itself has"
    assert volume.read("a/b/c", limit=10) == b"below\n"
    assert {"config", "a"} <= {*volume.names(most=99)}
    assert len(volume.names(most=1)) == 1
    assert volume.names("a", most=9) == ("b",)
    assert volume.names("config", most=9) == volume.names("nothing/at/all", most=9) == ()
    assert volume.has("nothing", "a/b")
    assert not volume.has("nothing", "config", "a/b/c", "a/nothing")
    assert all(size > 0 for size in volume.sizes("a/b", "a/*", "nothing", "a"))
    assert len(volume.sizes("a/b", "a/*", "nothing", "a")) == 2
    assert len(volume.sizes("a/b", "a/*", most=1)) == 1
    with refused(FileNotFoundError):
        home.backend.volume(other).read("config", limit=7)


def of_what_a_state_holds_only_what_was_seen_is_replaced(home: Home[Backend]) -> None:
    name = make_one(home)
    volume = home.backend.volume(name)
    volume.write("config", b"one")
    home.inside(name, "/bin/chmod", "640", "config")
    assert volume.replace("config", b"two", before=b"one", limit=9, beside=".beside")
    assert not volume.replace("config", b"three", before=b"one", limit=9, beside=".beside")
    assert volume.read("config", limit=9) == b"two"
    listed = home.inside(name, "/bin/sh", "-c", "stat -c %a config; ls -A; echo far too much >config")
    assert listed.stdout.splitlines()[0] == "640"
    assert ".beside" not in listed.stdout
    with refused(OcmError):
        volume.replace("config", b"three", before=b"two", limit=9, beside=".beside")
    for _ in range(2):
        volume.remove("config")
        with refused(FileNotFoundError):
            volume.replace("config", b"three", before=b"two", limit=9, beside=".beside")


def what_an_instance_puts_in_the_place_of_a_file_is_not_read(home: Home[Backend]) -> None:
    name = make_one(home)
    volume = home.backend.volume(name)
    home.inside(name, "/bin/sh", "-c", "echo much >file; ln -s file link; mkfifo pipe; ln -s . r; mkdir d")
    for found in ("link", "pipe", "d"):
        with refused(OcmError):
            volume.read(found, limit=9)
    with refused(OcmError):
        volume.read("file", limit=4)
    with refused(OSError):
        volume.read("r/file", limit=9)
    assert not volume.has("r", "r/d")
    assert volume.names("r", most=9) == ()
    for missing in ("nothing", "d/nothing", "nowhere/nothing"):
        with refused(FileNotFoundError):
            volume.read(missing, limit=9)
    volume.write("link", b"its own")
    assert volume.read("file", limit=9) == b"much\n", "a link is replaced and not followed"
    nobody = of_this_run(home, "nobody")
    with refused(OcmError):
        home.backend.volume(nobody).read("file", limit=9)
    with refused(OcmError):
        home.backend.volume(nobody).check(nobody)
    volume.check(name)


def a_session_has_the_environment_it_is_given_and_begins_in_the_state(home: Home[Backend]) -> None:
    name = make_one(home)
    done = home.inside(name, "/bin/sh", "-c", 'pwd; echo "$HOME"; echo "${LANG-none}"; exit 7')
    assert done.stdout.splitlines() == [home.state(name), str(home.home), "none"]
    assert done.returncode == 7
    assert home.observe(name).activity == "stopped", "a session needs no gateway and makes none"


def sessions_end_when_they_are_stopped_those_of_the_longer_name_do_not(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    with session(home, one) as first, session(home, other) as second:
        assert {one, other} <= set(home.backend.in_session())
        home.backend.stop_sessions([one])
        first.wait(timeout=PATIENCE_SECONDS)
        assert second.poll() is None
        assert one not in home.backend.in_session()
        home.backend.stop_sessions([one])
        home.backend.stop_sessions([other])
        second.wait(timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def session(home: Home[Backend], name: InstanceName) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program run in a session, which has said so."""
    argv = home.session(name, "/bin/sh", "-c", "echo begun; exec sleep 600").argv
    environ = home.host.runner.environ
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", **environ}
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            yield process
        finally:
            process.kill()


def a_signal_reaches_the_program_of_a_session(home: Home[Backend]) -> None:
    name = make_one(home)
    script = "trap 'echo heard; exit 3' INT; echo begun; while :; do sleep 0.1; done"
    made = home.session(name, "/bin/sh", "-c", script)
    with subprocess.Popen(
        made.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", **home.host.runner.environ},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        home.backend.signal_session(made.token, 2)
        assert process.stdout.readline() == b"heard\n"
        assert process.wait(timeout=PATIENCE_SECONDS) == 3


def the_log_is_told_oldest_first_and_bounded(home: Home[Backend]) -> None:
    name = make_one(home, TIMED)
    between = time.time()
    if home.keeps_log:
        home.start(name)
        home.backend.stop([name])
        wait_for(lambda: words(home, name) == ["up", "down"], lambda: home.said(name))
        between = time.time()
    home.start(name)
    if home.keeps_log:
        home.backend.stop([name])
    run = ["up", "down"] if home.keeps_log else ["up"]
    wait_for(lambda: words(home, name)[-len(run) :] == run, lambda: home.said(name))
    entries = list(home.backend.log(name, lines=None, follow=False, since=None))
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    assert {entry.source for entry in entries} == {"gateway", home.backend.name}, "both have a say"
    last = list(home.backend.log(name, lines=2, follow=False, since=None))
    assert last == entries[-2:]
    assert words(home, name) == run * (2 if home.keeps_log else 1)
    assert words(home, name, since=between) == run
    assert [*home.backend.log(name, lines=None, follow=False, since=time.time() + DAY)] == []


def words(home: Home[Backend], name: InstanceName, since: float | None = None) -> list[str]:
    """Return the last word of each line that a gateway printed."""
    entries = home.backend.log(name, lines=None, follow=False, since=since)
    return [entry.message.rpartition(" ")[2] for entry in entries if entry.source == "gateway"]


def a_log_that_is_followed_goes_on(home: Home[Backend]) -> None:
    name = make_one(home, TIMED)
    home.start(name)
    following = home.backend.log(name, lines=None, follow=True, since=None)
    assert next(entry for entry in following if entry.source == "gateway").message.endswith("up")
    home.backend.stop([name])
    assert next(entry for entry in following if entry.source == "gateway").message.endswith("down")


def wait_for(condition: Callable[[], bool], last: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, last()
        time.sleep(0.05)


def what_is_scheduled_is_observed_and_ended(home: Home[Backend]) -> None:
    one, other = make_one(home), make_other(home)
    for purpose, another in itertools.permutations(Purpose, 2):
        timers, others = home.backend.timers(purpose), home.backend.timers(another)
        assert timers.observe([]) == {}
        assert not timers.observe([one])[one].active
        timers.set({one: "daily"})
        seen = timers.observe([one, other])
        assert (seen[one].active, seen[one].stale, seen[one].failure) == (True, False, None)
        assert not seen[other].active
        assert one in timers.known()
        assert other not in timers.known()
        assert one not in others.known(), "one purpose is not the other"
        assert not others.observe([one])[one].active
        others.clear([one])
        for every in ("Mon 03:00", "Mon 03:00"):
            timers.set({one: every})
            for definition in timers.definitions(one, every):
                assert Path(definition.path).read_text() == definition.text
                assert is_made_by_ocm(definition.text)
            assert timers.observe([one])[one].active
        told = "".join(definition.text for definition in timers.definitions(one, "daily"))
        assert f"{purpose.value}" in told
        if purpose in OF_INSTANCES:
            assert f"--scheduled={one}" in told
        timers.clear([one])
        assert not timers.observe([one])[one].active
        assert one not in timers.known()
        assert not any(Path(definition.path).exists() for definition in timers.definitions(one, "daily"))


def times_are_checked_and_counted(home: Home[Backend]) -> None:
    timers = home.backend.timers()
    for every in ("hourly", "daily", "weekly", "monthly", "03:00", "Mon..Fri 03:00"):
        timers.check(every)
    for every in ("now and then", "25:00"):
        with refused(Invalid):
            timers.check(every)
    now = time.time()
    due = timers.dues("hourly", now, 3)
    assert len(due) == 3
    assert now < due[0] <= now + 3600
    assert [later - earlier for earlier, later in itertools.pairwise(due)] == [3600.0, 3600.0]


CHECKS: tuple[Callable[[Home[Backend]], None], ...] = (
    it_goes_by_the_name_it_is_registered_under,
    names_go_in_and_a_state_for_each_comes_out,
    of_one_that_it_never_saw_it_says_so,
    what_is_not_there_is_stopped_disabled_and_removed_without_a_word,
    a_definition_is_signed_and_says_the_same_each_time,
    a_gateway_starts_once_and_stops_once,
    a_gateway_that_is_stopped_hears_of_it_first,
    a_gateway_that_does_not_stop_is_killed,
    a_config_that_is_refused_keeps_a_gateway_down_until_it_is_forgotten,
    one_that_ends_waits_to_be_started_again_and_not_after_a_stop,
    enabling_starts_nothing_and_disabling_stops_nothing,
    a_definition_edited_on_disk_shows_and_counts_from_the_next_start,
    a_definition_that_is_gone_is_taken_up_as_well,
    what_is_removed_leaves_nothing,
    what_is_not_up_is_not_proved_and_what_is_not_sealed_need_not_be,
    every_gateway_that_is_asked_after_has_an_answer,
    only_of_one_that_lives_is_known_what_it_uses,
    what_a_state_holds_is_read_and_written_where_it_is,
    of_what_a_state_holds_only_what_was_seen_is_replaced,
    what_an_instance_puts_in_the_place_of_a_file_is_not_read,
    a_session_has_the_environment_it_is_given_and_begins_in_the_state,
    sessions_end_when_they_are_stopped_those_of_the_longer_name_do_not,
    a_signal_reaches_the_program_of_a_session,
    the_log_is_told_oldest_first_and_bounded,
    a_log_that_is_followed_goes_on,
    what_is_scheduled_is_observed_and_ended,
    times_are_checked_and_counted,
)
