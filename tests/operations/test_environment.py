"""Variables of instances: set, taken away, kept by what copies an instance, and undone."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.sandbox.shown import parse_shown
from openclaw_ocm.core.status import Answer
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.instances.instance import open_instance
from openclaw_ocm.operations import create as creating
from openclaw_ocm.operations import environment as environments
from openclaw_ocm.operations import restore as restoring
from openclaw_ocm.operations.create import Wanted, create, offers_for
from openclaw_ocm.operations.environment import (
    SETTINGS,
    change_settings,
    change_variables,
    list_settings,
    list_variables,
)
from openclaw_ocm.operations.mount import mount
from openclaw_ocm.operations.planning import offers, reach
from openclaw_ocm.operations.planning.staging import RestoreRequest
from openclaw_ocm.operations.secret import set_secret
from openclaw_ocm.system import files, variables
from openclaw_ocm.system.kept.inherited import Inherited, write_inherited
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.operations.planning.result import Outcome

CA = "NODE_EXTRA_CA_CERTS"


pytestmark = pytest.mark.usefixtures("own_networks")


def change(
    kept: Kept, *, restart: bool = False, dry_run: bool = False, of_all: bool = False, **changed: str | None
) -> Outcome:
    return change_variables(
        kept.context, NAME, changed, kept.effort(), restart=restart, dry_run=dry_run, of_all=of_all
    )


def show(kept: Kept, path: Path, *, restart: bool = False) -> Outcome:
    return change_variables(
        kept.context, NAME, {CA: str(path)}, kept.effort(), restart=restart, dry_run=False
    )


def of(kept: Kept) -> dict[str, str]:
    found = list_variables(kept.context, NAME)
    assert found.name == NAME
    return dict(found.variables)


def test_who_loses_the_address_of_an_inherited_key_is_told_to_sync(kept: Kept) -> None:
    kept.create()
    told = f"keys that it inherited for OPENAI_BASE_URL would be sent elsewhere now: ocm sync {NAME}"
    write_inherited(kept.paths(NAME), Inherited(source="main", config={}, secrets=("OPENAI_API_KEY",)))
    assert told not in change(kept, OPENAI_BASE_URL="https://gateway.corp.example").notes
    assert told in change(kept, OPENAI_BASE_URL="https://other.example").notes
    assert told in change(kept, OPENAI_BASE_URL=None).notes


def certificate(kept: Kept) -> Path:
    path = kept.home / "corp.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


def test_a_stopped_one_has_them_in_its_definition_at_once(kept: Kept) -> None:
    kept.create()
    outcome = change(kept, TZ="Europe/Berlin", AWS_REGION="eu-1")
    assert outcome.message == "set AWS_REGION=eu-1; set TZ=Europe/Berlin: takes effect at the next start"
    assert of(kept) == {"AWS_REGION": "eu-1", "TZ": "Europe/Berlin"}
    assert environment(kept.paths(NAME), kept.record(NAME))["TZ"] == "Europe/Berlin"
    assert not kept.status().drift
    assert change(kept, TZ="Europe/Berlin").message == "nothing to change"
    assert change(kept, TZ=None).changes == ("unset TZ",)
    assert of(kept) == {"AWS_REGION": "eu-1"}


def test_a_running_one_goes_on_and_that_a_restart_is_due_is_shown(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    assert change(kept, TZ="UTC").message == f"set TZ=UTC: takes effect with ocm restart {NAME}"
    assert kept.process(NAME).pid == pid
    due = f"the definition is older than the record or this ocm: ocm restart {NAME}"
    assert due in kept.status().drift
    kept.restart()
    assert not kept.status().drift


def test_with_a_restart_it_has_them_and_is_proved(kept: Kept) -> None:
    kept.deploy()
    pid = kept.process(NAME).pid
    assert change(kept, restart=True, TZ="UTC").message == "set TZ=UTC: ready and sealed"
    assert kept.process(NAME).pid not in (None, pid)
    assert not kept.status().drift


def test_one_that_is_not_ready_with_them_is_as_it_was(kept: Kept) -> None:
    kept.deploy()
    before = kept.files()
    kept.world.answers[NAME] = Answer(phase="starting", failing=("telegram",))
    with pytest.raises(OcmError, match="did not become ready"):
        change(kept, restart=True, HTTPS_PROXY="http://10.0.0.1:3128")
    assert kept.files() == before


def test_a_dry_run_changes_nothing_and_tells_what_would_change(kept: Kept) -> None:
    kept.deploy()
    before = kept.files()
    outcome = change(kept, restart=True, dry_run=True, TZ="UTC")
    assert outcome.steps
    assert outcome.changes == ("set TZ=UTC",)
    assert kept.files() == before


def test_a_proxy_near_by_may_be_reached_from_then_on_by_its_address_or_name(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    monkeypatch.setattr(reach, "looked_up", lambda hosts: dict.fromkeys(hosts, ("10.1.2.3", "1.1.1.1")))
    outcome = change(kept, HTTPS_PROXY="http://127.0.0.1:3128", http_proxy="proxy.corp.example:8080")
    assert kept.record(NAME).allow == ("10.1.2.3:8080", "127.0.0.1:3128")
    assert "it may reach 127.0.0.1:3128, which HTTPS_PROXY names" in outcome.notes
    assert "it may reach 10.1.2.3:8080, which http_proxy names" in outcome.notes
    assert "tcp dport 8080 accept" in Path(kept.paths(NAME).network / "gateway.nft").read_text()
    assert not change(kept, HTTPS_PROXY="http://127.0.0.1:3128/").notes


def test_one_that_shares_the_network_needs_no_allowance(kept: Kept) -> None:
    kept.create(network="shared")
    assert not change(kept, HTTPS_PROXY="http://127.0.0.1:3128").notes
    assert kept.record(NAME).allow == ()


def test_a_name_is_a_secret_or_a_variable_and_which_is_told(kept: Kept) -> None:
    kept.create()
    proxy = "http://me:geheim@proxy.example:3128"
    set_secret(kept.context, NAME, "HTTPS_PROXY", proxy, restart=None, dry_run=False)
    with pytest.raises(OcmError, match="is a secret") as caught:
        change(kept, HTTPS_PROXY="http://proxy.example:3128")
    assert caught.value.hint == f"ocm secret unset {NAME} HTTPS_PROXY"
    change(kept, ALL_PROXY="http://1.1.1.1:3128")
    with pytest.raises(OcmError, match="is a variable") as caught:
        set_secret(kept.context, NAME, "ALL_PROXY", proxy, restart=None, dry_run=False)
    assert caught.value.hint == f"ocm env {NAME} unset ALL_PROXY"


def test_a_proxy_that_is_a_secret_and_near_is_told_without_its_password(kept: Kept) -> None:
    kept.create(network="own")
    proxy = "http://me:geheim@10.0.0.1:3128"
    outcome = set_secret(kept.context, NAME, "HTTPS_PROXY", proxy, restart=None, dry_run=False)
    told = f"HTTPS_PROXY names 10.0.0.1:3128, which it does not reach: ocm network {NAME} allow 10.0.0.1:3128"
    assert outcome.notes == (told,)


def test_a_file_is_kept_by_its_real_path_and_seen_by_a_running_one_after_a_restart_alone(kept: Kept) -> None:
    kept.deploy()
    real = certificate(kept)
    link = kept.home / "link.pem"
    link.symlink_to(real)
    with pytest.raises(OcmError, match="only after a restart") as caught:
        show(kept, link)
    assert caught.value.code == "restart_needed"
    show(kept, link, restart=True)
    assert of(kept) == {CA: str(real)}
    real.unlink()
    told = f"{CA} names {real}, which is not there: put it back, or ocm env {NAME} unset {CA}"
    assert told in kept.status().drift
    with pytest.raises(OcmError, match="which is not there"):
        kept.restart()


@pytest.mark.parametrize(
    "place", ["", "gone.pem", ".openclaw-{}/ca.pem", ".config/ocm/settings.toml", ".ssh/id"]
)
def test_a_file_that_no_instance_is_to_see_or_that_one_can_change_is_refused(kept: Kept, place: str) -> None:
    kept.create()
    path = kept.home / place.format(NAME)
    if place.endswith(("ca.pem", "id")):
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    before = kept.files()
    with pytest.raises(Invalid) as caught:
        show(kept, path)
    assert caught.value.code == "variable_file"
    assert kept.files() == before


def test_no_file_is_shown_that_an_instance_may_swap_for_a_link(kept: Kept) -> None:
    kept.create()
    kept.create(OTHER)
    data = kept.home.parent / "data"
    data.mkdir()
    (data / "ca.pem").write_text("x")
    shown = parse_shown(str(data), "/srv/data", writable=True)

    def write() -> None:
        mount(kept.context, OTHER, shown, kept.effort(), restart=False, dry_run=False)

    show(kept, data / "ca.pem")
    with pytest.raises(OcmError, match=f"{NAME} is shown {data}/ca.pem, which could then be led elsewhere"):
        write()
    change(kept, NODE_EXTRA_CA_CERTS=None)
    write()
    elsewhere = certificate(kept)
    (data / "link.pem").symlink_to(elsewhere)
    for name in ("ca.pem", "link.pem"):
        with pytest.raises(Invalid, match=f"leads through {data}, which {OTHER} may write") as refused:
            show(kept, data / name)
        assert refused.value.code == "variable_file"
    record = msgspec.structs.replace(kept.record(NAME), environment={CA: str(data / "ca.pem")})
    files.write_file(kept.paths(NAME).record, encode_record(record).encode())
    with pytest.raises(OcmError, match="could be led elsewhere") as led:
        kept.start()
    assert led.value.code == "variable_file"


def test_a_zone_that_the_machine_does_not_know_is_refused(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.create()
    zones = kept.home / "zoneinfo"
    (zones / "Europe").mkdir(parents=True)
    (zones / "Europe/Berlin").touch()
    monkeypatch.setattr(variables, "_ZONES", zones)
    for zone in ("Europe/Berlin", ":Europe/Berlin", "CET-1CEST", "<+03>-3"):
        change(kept, TZ=zone)
    for zone in ("Europe/Berlinn", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(Invalid, match="no time zone"):
            change(kept, TZ=zone)


def test_what_is_not_there_is_not_taken_away_unless_all_are_meant(kept: Kept) -> None:
    kept.create()
    with pytest.raises(OcmError) as caught:
        change(kept, TZ=None)
    assert caught.value.code == "variable_missing"
    assert change(kept, of_all=True, TZ=None).message == "nothing to change"


def test_the_settings_are_for_new_ones_and_what_else_they_say_stays(kept: Kept) -> None:
    path = Path(kept.host.paths.settings)
    path.write_text(f"# mine\n{path.read_text()}")
    own = path.read_text()
    assert change_settings(kept.context, {"TZ": "UTC"}, dry_run=True).steps
    assert path.read_text() == own
    outcome = change_settings(kept.context, {"TZ": "UTC", "LANG": "C"}, dry_run=False)
    assert (outcome.name, outcome.message) == (SETTINGS, "set LANG=C; set TZ=UTC: new instances have it")
    assert path.read_text().startswith(own)
    kept.create(environment={"LANG": "de_DE.UTF-8"})
    assert of(kept) == {"LANG": "de_DE.UTF-8", "TZ": "UTC"}
    change_settings(kept.context, {"TZ": None, "LANG": None}, dry_run=False)
    assert path.read_text() == own
    assert list_settings(kept.context).variables == {}
    assert of(kept)["TZ"] == "UTC"


def test_one_that_is_there_is_not_taken_for_one_with_other_variables(kept: Kept) -> None:
    kept.create(environment={"TZ": "UTC"})
    assert not kept.create(environment={"TZ": "UTC"}).changed
    with pytest.raises(OcmError, match="with another TZ"):
        kept.create(environment={"TZ": "Europe/Berlin"})


def test_a_new_one_may_reach_the_proxy_that_it_is_given(kept: Kept) -> None:
    outcome = kept.create(environment={"HTTPS_PROXY": "http://127.0.0.1:3128"}, network="own")
    assert kept.record(NAME).allow == ("127.0.0.1:3128",)
    assert "it may reach 127.0.0.1:3128, which HTTPS_PROXY names" in outcome.notes


def test_a_clone_and_a_restored_one_keep_them_but_for_the_files_that_an_archive_names(kept: Kept) -> None:
    path = certificate(kept)
    given: dict[str, Any] = {"TZ": "UTC", CA: str(path)}
    kept.create(environment=given)
    kept.clone(started=False)
    assert dict(kept.record(OTHER).environment) == given
    archive = PurePosixPath(kept.backup().path)
    kept.delete()
    request = RestoreRequest(archive=archive, start=False)
    outcome = restoring.restore(kept.context, NAME, request, kept.effort(), dry_run=False)
    assert of(kept) == {"TZ": "UTC"}
    assert f"{NAME} had the variable {CA}, and has not now: ocm env {NAME} set {CA}={path}" in outcome.notes


def around(kept: Kept, **variables: str) -> None:
    """Have main's `.env` set variables."""
    state = kept.home / ".openclaw"
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text("{}")
    (state / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def inheriting(kept: Kept, **wanted: Any) -> str:  # noqa: ANN401 - those of `Wanted`
    outcome = create(kept.context, Wanted(name=NAME, network="own", **wanted), dry_run=False)
    return "\n".join(outcome.notes)


def test_what_main_and_the_machine_have_is_told_with_the_command_and_not_given(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    around(kept, HTTPS_PROXY="http://proxy:80", OPENAI_BASE_URL="https://m.example/v1?a=b c", LD_PRELOAD="/x")
    system = kept.home / "environment"
    system.write_text('HTTPS_PROXY="http://other:80"\nNO_PROXY=.corp\nAWS_REGION=eu\n')
    monkeypatch.setattr(offers, "_SYSTEMS", system)
    notes = inheriting(kept)
    dotenv = kept.home / ".openclaw/.env"
    given = "HTTPS_PROXY=http://proxy:80 'OPENAI_BASE_URL=https://m.example/v1?a=b c'"
    told = f"HTTPS_PROXY, OPENAI_BASE_URL are set in {dotenv}, and not for {NAME}"
    assert f"{told}: ocm env {NAME} set {given}" in notes
    assert f"NO_PROXY is set in {system}, and not for {NAME}: ocm env {NAME} set NO_PROXY=.corp" in notes
    assert "LD_PRELOAD" not in notes
    assert "AWS_REGION" not in notes
    assert of(kept) == {}


def test_a_proxy_with_a_password_is_led_to_the_secrets_without_it(kept: Kept) -> None:
    around(kept, https_proxy="http://me:geheim@proxy:80")
    notes = inheriting(kept)
    assert f"holds a password, and {NAME} has it not: ocm secret set {NAME} HTTPS_PROXY" in notes
    assert "geheim" not in notes


def test_what_is_given_is_not_offered_and_nothing_of_main_to_who_inherits_nothing(kept: Kept) -> None:
    around(kept, HTTPS_PROXY="http://proxy:80")
    assert "HTTPS_PROXY" not in inheriting(kept, environment={"HTTPS_PROXY": "http://1.1.1.1:80"})
    kept.delete(force=True)
    assert "HTTPS_PROXY" not in inheriting(kept, no_inherit=True)


def test_what_can_be_given_as_it_is_is_what_a_person_is_asked_about(kept: Kept) -> None:
    path = certificate(kept)
    secret, gone = "http://me:geheim@proxy:80", str(kept.home / "gone.pem")
    around(kept, HTTPS_PROXY=secret, NODE_EXTRA_CA_CERTS=str(path), SSL_CERT_FILE=gone, AWS_REGION="eu")
    wanted = Wanted(name=NAME)
    assert offers_for(kept.context, wanted) == {CA: str(path), "AWS_REGION": "eu"}
    kept.create()
    assert offers_for(kept.context, wanted) == {}


@pytest.mark.parametrize("password", ["", "me:geheim@"])
def test_the_proxy_of_mains_config_comes_along_and_may_be_reached(kept: Kept, password: str) -> None:
    around(kept)
    proxy = {"proxyUrl": f"http://{password}127.0.0.1:3128", "tls": {"caFile": "/srv/ca.pem"}}
    (kept.home / ".openclaw/openclaw.json").write_text(json.dumps({"proxy": proxy}))
    notes = inheriting(kept)
    inherited = open_instance(kept.context, NAME).read_config()[1]["proxy"]
    assert inherited["tls"] == proxy["tls"]
    assert inherited["proxyUrl"] == ("${PROXY_PROXYURL}" if password else proxy["proxyUrl"])
    assert kept.record(NAME).allow == ("127.0.0.1:3128",)
    assert "it may reach 127.0.0.1:3128, where the proxy is that it inherits" in notes
    assert "proxy.tls.caFile is /srv/ca.pem, which no instance sees" in notes
    assert "geheim" not in notes


def test_a_proxy_in_capitals_stands_for_the_other_one(kept: Kept) -> None:
    around(kept, https_proxy="http://proxy:80", AWS_REGION="eu")
    inheriting(kept)
    told = f"ocm env {NAME} set https_proxy=http://proxy:80 AWS_REGION=eu"
    assert any(note.endswith(told) for note in kept.examine().notes)
    change(kept, HTTPS_PROXY="http://1.1.1.1:80")
    assert any(note.endswith(f"ocm env {NAME} set AWS_REGION=eu") for note in kept.examine().notes)
    change(kept, AWS_REGION="us")
    assert not [note for note in kept.examine().notes if "ocm env" in note]


def test_a_proxy_of_the_machine_with_a_password_is_led_to_the_secrets(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = kept.home / "environment"
    system.write_text("HTTPS_PROXY=http://me:geheim@proxy:80\n")
    monkeypatch.setattr(offers, "_SYSTEMS", system)
    notes = inheriting(kept, no_inherit=True)
    told = (
        f"HTTPS_PROXY in {system} holds a password, and {NAME} has it not: ocm secret set {NAME} HTTPS_PROXY"
    )
    assert told in notes
    assert "geheim" not in notes


def test_a_proxy_that_nobody_knows_may_be_near(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "looked_up", lambda _hosts: {})
    kept.create(network="own")
    outcome = change(kept, HTTPS_PROXY="http://proxy.corp.example:8080", X_URL="http://nobody.example")
    told = "proxy.corp.example is not known here: where it is near, ocm network NAME allow ADDRESS:8080"
    assert outcome.notes == (told,)


def test_status_tells_what_an_instance_was_given(kept: Kept) -> None:
    kept.create(environment={"TZ": "UTC"})
    assert kept.status().variables == {"TZ": "UTC"}


def test_a_file_of_the_system_that_every_instance_is_kept_from_is_refused(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/etc/ssl/private/corp.pem"
    monkeypatch.setattr(environments, "settled", lambda _paths, given: given)
    monkeypatch.setattr(creating, "settled", lambda _paths, given: given)
    kept.create()
    with pytest.raises(Invalid, match="hidden from every instance"):
        change_variables(kept.context, NAME, {CA: path}, kept.effort(), restart=False, dry_run=False)
    with pytest.raises(Invalid, match="hidden from every instance"):
        kept.create(OTHER, environment={CA: path})
