"""Instances become as a fleet file describes them, by the verbs that there are, and no other is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.fleet.parse import Fleet, parse_fleet
from openclaw_ocm.errors import OcmError
from openclaw_ocm.operations import fleet_changes
from openclaw_ocm.operations.fleet import bring, read_sources
from openclaw_ocm.operations.fleet_changes import Brought, Job
from openclaw_ocm.operations.fleet_export import export
from openclaw_ocm.system.kept.secrets import read_secrets

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.operations.planning.result import Outcome

FILE = """
[defaults]
inherit_from = false
network = "shared"
autostart = true
backups = {{ every = "03:00" }}
[instances.{name}]
limits.memory = "2G"
environment.TZ = "Europe/Berlin"
mounts = [{{ path = "~/papers", at = "/srv/papers" }}]
secrets.SOME_API_KEY.file = "~/key"
[instances.{other}]
running = false
"""


def parsed(kept: Kept, text: str = FILE) -> Fleet:
    home = PurePosixPath(kept.home)
    (kept.home / "papers").mkdir(exist_ok=True)
    if not (kept.home / "key").exists():
        (kept.home / "key").write_text("sk-first\n")
    return parse_fleet(text.format(name=NAME, other=OTHER), home=home, folder=home)


def brought(kept: Kept, name: InstanceName, text: str = FILE, *, dry_run: bool = False) -> Outcome:
    from dataclasses import replace

    described = parsed(kept, text)
    job = Job(
        name=name,
        described=described.instances[name],
        mounts=described.mounts(name),
        read=read_sources(kept.context, described, [name]),
        brought=Brought(None, None),
        effort=kept.effort(),
        dry_run=dry_run,
    )
    return bring(replace(kept.context, dry_run=dry_run), job)


def test_what_is_missing_is_made_and_there_is_nothing_more_to_do(kept: Kept) -> None:
    before = kept.files()
    planned = brought(kept, NAME, dry_run=True)
    assert (planned.message, planned.changed) == ("would be made", False)
    assert planned.changes[0] == "make it"
    assert {"add secret SOME_API_KEY", "backups at 03:00", "start it"} < set(planned.changes)
    assert not any("sk-first" in text for text in (*planned.changes, *planned.steps, *planned.notes))
    assert {**kept.files(), **before} == before | {"key": "sk-first\n"}

    made = brought(kept, NAME)
    assert made.message.startswith("made, ready and sealed")
    record = kept.record(NAME)
    assert (record.limits.memory, record.autostart, record.network) == ("2G", True, "shared")
    assert [one.path for one in record.mounts] == [str(kept.home / "papers")]
    assert record.backups is not None
    assert record.backups.every == "03:00"
    assert read_secrets(kept.paths(NAME)) == {"SOME_API_KEY": "sk-first"}
    assert kept.world.gateways[NAME].pid is not None
    for dry_run in (True, False):
        again = brought(kept, NAME, dry_run=dry_run)
        assert (again.message, again.changes, again.steps) == ("as the file says", (), ())


def test_one_that_is_not_to_run_is_made_and_not_started(kept: Kept) -> None:
    assert brought(kept, OTHER).message == "made, not started"
    assert OTHER not in kept.world.gateways or kept.world.gateways[OTHER].pid is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("2G", "3G"), ("memory 2G -> 3G",)),
        (("Europe/Berlin", "Europe/Paris"), ("set TZ",)),
        (('"03:00"', '"04:00"'), ("backups at 04:00",)),
        (('backups = {{ every = "03:00" }}', ""), ("no more backups by themselves",)),
        (('mounts = [{{ path = "~/papers", at = "/srv/papers" }}]', ""), ("hide {home}/papers",)),
        (("autostart = true", ""), ("no longer start with the machine",)),
        (("[instances.{name}]", "[instances.{name}]\nrunning = false"), ("stop it",)),
    ],
)
def test_one_line_changes_what_it_says_and_nothing_else(
    kept: Kept, changed: tuple[str, str], words: tuple[str, ...]
) -> None:
    brought(kept, NAME)
    text = FILE.replace(*changed)
    assert text != FILE
    expected = tuple(word.format(home=kept.home) for word in words)
    planned = brought(kept, NAME, text, dry_run=True)
    assert planned.changes == expected
    assert planned.steps
    assert brought(kept, NAME, text).changes == expected
    assert brought(kept, NAME, text, dry_run=True).changes == ()
    # And back, as it was changed by hand.
    brought(kept, NAME)
    assert brought(kept, NAME, dry_run=True).changes == ()


def test_a_secret_that_is_another_by_now_is_taken_up_with_one_restart(kept: Kept) -> None:
    brought(kept, NAME)
    first = kept.world.gateways[NAME].pid
    (kept.home / "key").write_text("sk-second\n")
    done = brought(kept, NAME, FILE.replace("2G", "4G"))
    assert done.changes == ("memory 2G -> 4G", "replace secret SOME_API_KEY")
    assert not any("sk-second" in text for text in (*done.changes, *done.steps, *done.notes, done.message))
    assert read_secrets(kept.paths(NAME)) == {"SOME_API_KEY": "sk-second"}
    assert kept.world.gateways[NAME].pid not in (None, first)


def test_what_was_done_before_a_failure_stays_and_is_told(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> Any:  # noqa: ANN401 - of any verb
        raise OcmError("the disk is gone", code="failed")

    with monkeypatch.context() as patch:
        patch.setitem(fleet_changes.BY_KIND, "backups", fail)
        with pytest.raises(OcmError, match="the disk is gone") as caught:
            brought(kept, NAME)
    told = caught.value.details[-1]
    assert told.startswith("done before that, and kept: it was made, not started; show ")
    assert "add secret SOME_API_KEY" in told
    assert brought(kept, NAME).changes == ("backups at 03:00", "start it")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('file = "~/none"', "the file {home}/none: there is no such file"),
        ('env = "OCM_TEST_NO_SUCH"', "the variable OCM_TEST_NO_SUCH: it is not set"),
        (
            'command = ["sh", "-c", "echo sk-half; echo locked >&2; exit 3"]',
            "the command sh: it ended with 3: locked",
        ),
        ('command = ["true"]', "the command true: the secret is empty"),
        ('command = ["/none/of/that"]', "the command /none/of/that: there is no such program"),
        ('command = ["/etc/passwd"]', "the command /etc/passwd: it cannot be run: "),
        ('command = ["printf", "\\\\377\\\\376"]', "the command printf: what it prints is no UTF-8 text"),
        ('command = ["yes"]', "the command yes: yes printed more than 65536 bytes"),
        ('command = ["sh", "-c", "echo sk-half; echo more"]', "the command sh: a secret is one line"),
        ('file = "~"', "the file {home}: cannot be read: it is no file"),
        ('file = "~/key/none"', "the file {home}/key/none: cannot be read: Not a directory"),
    ],
)
def test_a_source_that_fails_is_named_and_nothing_is_made(kept: Kept, source: str, said: str) -> None:
    text = FILE.replace('secrets.SOME_API_KEY.file = "~/key"', f"secrets.SOME_API_KEY = {{{{ {source} }}}}")
    with pytest.raises(OcmError) as caught:
        brought(kept, NAME, text)
    assert caught.value.message.startswith(said.format(home=kept.home))
    assert "sk-half" not in repr(caught.value.args)
    assert not Path(kept.paths(NAME).record).exists()


def test_a_secret_that_others_can_read_is_told(kept: Kept) -> None:
    key = kept.home / "key"
    key.write_text("sk-first")
    key.chmod(0o644)
    note = f"other users can read {key}: chmod go-rwx {key}"
    assert note in brought(kept, NAME, dry_run=True).notes
    key.chmod(0o600)
    assert note not in brought(kept, NAME).notes


def test_what_an_instance_is_made_with_for_good_is_said(kept: Kept) -> None:
    brought(kept, NAME)
    text = FILE.replace('network = "shared"', 'network = "shared"\nsealed = false')
    text = text.replace('mounts = [{{ path = "~/papers", at = "/srv/papers" }}]', "")
    with pytest.raises(OcmError, match="has a sandbox, and is to have no sandbox by the file"):
        brought(kept, NAME, text)


def test_the_file_of_what_there_is_makes_the_same_elsewhere(kept: Kept, tmp_path: Path) -> None:
    for name in (NAME, OTHER):
        brought(kept, name)
    output, secrets = PurePosixPath(tmp_path, "out/fleet.toml"), PurePosixPath(tmp_path, "out/secrets")
    Path(output.parent).mkdir()
    done = export(kept.context, (), output=output, secrets=secrets, force=False)
    assert "sk-first" not in f"{done}"
    assert done.notes == ()
    assert done.text == Path(output).read_text()
    key = Path(secrets, NAME, "SOME_API_KEY")
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("sk-first\n", 0o600)
    with pytest.raises(OcmError, match="is there already"):
        export(kept.context, (), output=output, secrets=secrets, force=False)
    described = parse_fleet(done.text, home=PurePosixPath(kept.home), folder=output.parent)
    assert set(described.instances) == {NAME, OTHER}
    for name in (NAME, OTHER):
        job = Job(
            name=name,
            described=described.instances[name],
            mounts=described.mounts(name),
            read=read_sources(kept.context, described, [name]),
            brought=Brought(None, None),
            effort=kept.effort(),
            dry_run=True,
        )
        assert bring(kept.context, job).changes == ()


def test_what_was_set_in_its_config_is_in_the_file_and_its_secrets_are_not(kept: Kept) -> None:
    brought(kept, NAME)
    path = Path(kept.paths(NAME).config)
    config = json.loads(path.read_text())
    config["channels"] = {"irc": {"host": "irc.example.org", "nick": None}, "signal": {"cli": "x"}}
    config["agents"]["defaults"] |= {"heartbeat": {"every": "0m"}, "model": "lab"}
    config["models"] = {"providers": {"lab": {"baseUrl": "http://lab/v1", "apiKey": "sk-of-the-lab-itself"}}}
    path.write_text(json.dumps(config))
    done = export(kept.context, (NAME,), output=None, secrets=None, force=False)
    described = parsed(kept, done.text.replace("{", "{{").replace("}", "}}")).instances[NAME]
    assert described.config == {
        "channels.signal": {"cli": "x"},
        "agents.defaults.heartbeat": {"every": "0m"},
    }
    assert described.model is None
    assert "sk-of-the-lab" not in f"{done}"
    assert done.notes[1:] == (
        f"left out of the file, set it by hand: {NAME}: channels.irc, which holds what TOML has no word for",
        f"left out of the file, set it by hand: {NAME}: models.providers, which holds a secret",
    )
    path.write_text('{"broken')
    with pytest.raises(OcmError, match="is not valid JSON5"):
        export(kept.context, (NAME,), output=None, secrets=None, force=False)


def test_without_a_directory_it_is_said_which_secrets_the_file_reads(kept: Kept) -> None:
    brought(kept, NAME)
    done = export(kept.context, (NAME,), output=None, secrets=None, force=False)
    assert f'file = "secrets/{NAME}/SOME_API_KEY"' in done.text
    assert done.notes == (
        f"the file reads secrets that were not written, for --secrets does: secrets/{NAME}/SOME_API_KEY",
    )
    assert not os.path.lexists(kept.home / "secrets")
