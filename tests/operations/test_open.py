"""Where the Control UIs of instances are, and who has one to be opened, on the backend in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.operations.kept import NAME, OTHER

from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.status import Activity, Answer, Listener
from openclaw_ocm.core.tunnel import Server
from openclaw_ocm.operations import open as operation
from openclaw_ocm.operations.open import ControlUi, Found, Seat, find, hidden, seat, show
from openclaw_ocm.operations.planning import pages
from openclaw_ocm.system.kept.records import encode_record

if TYPE_CHECKING:
    from tests.operations.kept import Kept

    from openclaw_ocm.core.names import InstanceName

PLACE = Seat(desktop=False, remote=True, container=False, user="ann", server=Server("203.0.113.5"))
NOBODY = parse_name("nobody")


def config(kept: Kept, name: InstanceName = NAME) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(kept.paths(name).config).read_text())
    return found


def change(kept: Kept, **gateway: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write something else below `gateway` into a config, as the instance may."""
    changed = config(kept)
    changed["gateway"] |= gateway
    Path(kept.paths(NAME).config).write_text(json.dumps(changed))


def token(kept: Kept, name: InstanceName = NAME) -> str:
    found: str = config(kept, name)["gateway"]["auth"]["token"]
    return found


def look(kept: Kept, *names: InstanceName, everything: bool = False, with_tokens: bool = True) -> Found:
    return find(kept.context, names, PLACE, everything=everything, with_tokens=with_tokens)


def expose(kept: Kept, *networks: str) -> None:
    """Have a record say that an instance is exposed to networks."""
    record = msgspec.structs.replace(kept.record(NAME), expose=networks)
    Path(kept.paths(NAME).record).write_text(encode_record(record))


def page(kept: Kept) -> ControlUi:
    (found,) = look(kept, NAME).pages
    return found


def said(found: Found) -> dict[str, tuple[str, str, str | None]]:
    return {str(name): (error.code, error.message, error.hint) for name, error in found.errors}


def test_each_that_is_ready_has_a_link_with_its_own_token_and_all_have_one_line(kept: Kept) -> None:
    kept.deploy()
    kept.deploy(OTHER)
    found = look(kept, OTHER, NAME)
    assert [(one.name, one.port, one.url, one.link, one.token, one.notes) for one in found.pages] == [
        (
            name,
            port,
            f"http://127.0.0.1:{port}/",
            f"http://127.0.0.1:{port}/#token={token(kept, name)}",
            "shown",
            (),
        )
        for name, port in ((OTHER, 19021), (NAME, 19001))
    ]
    assert {one.ssh for one in found.pages} == {
        "ssh -N -L 19021:127.0.0.1:19021 -L 19001:127.0.0.1:19001 -o ExitOnForwardFailure=yes ann@203.0.113.5"
    }
    assert (found.errors, found.stopped) == ([], ())


def test_without_tokens_there_is_none_anywhere_in_the_answer(kept: Kept) -> None:
    kept.deploy()
    (one,) = look(kept, NAME, with_tokens=False).pages
    assert token(kept) not in msgspec.json.encode(one).decode()
    assert (one.link, one.token) == (one.url, "hidden")
    assert token(kept) not in repr(page(kept)), "nor where a traceback would show it"
    assert hidden(page(kept)) == one


def test_what_is_not_ready_says_what_to_type_and_keeps_nobody_from_the_others(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    found = look(kept, NAME, OTHER, NOBODY)
    assert [one.name for one in found.pages] == [NAME]
    assert found.pages[0].ssh.count("-L") == 1
    assert said(found)[OTHER] == ("not_running", f"{OTHER} is stopped", f"ocm start {OTHER}")
    assert said(found)["nobody"][0] == "unknown_instance"


def test_among_all_one_that_is_stopped_is_told_and_is_no_error(kept: Kept) -> None:
    kept.deploy()
    kept.create(OTHER)
    found = look(kept, NAME, OTHER, everything=True)
    assert (found.errors, found.stopped) == ([], (f"{OTHER} is stopped: ocm start {OTHER}",))
    kept.stop()
    found = look(kept, NAME, OTHER, everything=True)
    assert set(said(found)) == {NAME, OTHER}, "then there is nothing to open"
    assert found.stopped == ()


@pytest.mark.parametrize(
    ("activity", "answer", "message", "hint"),
    [
        (Activity.RUNNING, Answer(problem="it hangs"), "is starting: it hangs", "ocm status {}"),
        (Activity.FAILED, None, "failed: ", "ocm logs {}"),
        (Activity.STOPPING, None, "is draining: ", "ocm start {}, once it has ended"),
    ],
)
def test_how_it_is_not_ready_decides_what_to_type(
    kept: Kept, activity: Activity, answer: Answer | None, message: str, hint: str
) -> None:
    kept.deploy()
    kept.world.gateways[NAME].activity = activity
    if answer is not None:
        kept.world.answers[NAME] = answer
    found = said(look(kept, NAME))[NAME]
    assert found[0] == "not_ready"
    assert found[1].startswith(f"{NAME} {message}")
    assert (found[2] or "").startswith(hint.format(NAME))


def test_nobody_is_sent_to_a_stranger_with_a_token(kept: Kept) -> None:
    kept.deploy()
    kept.strangers[19001] = Listener(pid=7, command="nc")
    found = look(kept, NAME)
    assert found.pages == []
    assert "taken by PID 7 (nc)" in said(found)[NAME][1]
    assert f"ocm port {NAME}" in (said(found)[NAME][2] or "")


def test_what_serves_no_page_says_what_to_type(kept: Kept) -> None:
    kept.deploy()
    change(kept, controlUi={"enabled": False})
    code, message, hint = said(look(kept, NAME))[NAME]
    assert (code, hint) == ("no_control_ui", f"ocm edit {NAME} gateway.controlUi.enabled true")
    assert "has no Control UI" in message


def test_a_config_that_cannot_be_read_is_an_error_and_no_page_without_a_token(kept: Kept) -> None:
    kept.deploy()
    Path(kept.paths(NAME).config).write_text("{")
    assert said(look(kept, NAME))[NAME][0] == "config_unreadable"
    Path(kept.paths(NAME).config).unlink()
    assert said(look(kept, NAME))[NAME][0] == "config_missing"


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ({"mode": "password", "password": "p4ss"}, "asks for its password"),
        ({"mode": "none"}, "lets in whoever reaches it"),
        ({"mode": "token", "token": {"source": "file", "provider": "f", "id": "x"}}, "auth-token --show"),
        ({"mode": "token"}, f"ocm token rotate {NAME} gives it one"),
    ],
    ids=["password", "none", "reference", "token"],
)
def test_where_no_link_lets_in_the_page_is_told_and_why(kept: Kept, auth: dict[str, Any], told: str) -> None:
    kept.deploy()
    change(kept, auth=auth)
    one = page(kept)
    assert (one.link, one.token) == (one.url, "none")
    (note,) = one.notes
    assert told in note
    assert "p4ss" not in note


def test_a_token_is_found_that_the_config_names_by_a_secret(kept: Kept) -> None:
    kept.deploy()
    change(kept, auth={"mode": "token", "token": "${MY_TOKEN}"})
    secrets = Path(kept.paths(NAME).secrets)
    secrets.parent.mkdir(exist_ok=True)
    secrets.write_text("MY_TOKEN=0f-a-secret\n")
    assert page(kept).link.endswith("#token=0f-a-secret")


def test_an_exposed_one_has_an_address_for_each_network_that_it_is_exposed_to(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = {
        "10.8.0.0/24": "10.8.0.5",
        "10.9.0.0/24": None,
        "192.168.1.0/24": "192.168.1.5",
        None: "203.0.113.5",
    }
    monkeypatch.setattr(pages, "address_towards", ways.__getitem__)
    kept.deploy()
    expose(kept, "10.8.0.0/24", "10.9.0.0/24", "192.168.1.0/24")
    one = page(kept)
    fragment = f"#token={token(kept)}"
    assert one.elsewhere == {
        "10.8.0.0/24": f"http://10.8.0.5:19001/{fragment}",
        "192.168.1.0/24": f"http://192.168.1.5:19001/{fragment}",
    }
    assert one.link == f"http://127.0.0.1:19001/{fragment}", "here it is still the loopback"
    (approved,) = one.notes
    assert f"ocm use {NAME} devices approve ID" in approved
    assert set(hidden(one).elsewhere.values()) == {"http://10.8.0.5:19001/", "http://192.168.1.5:19001/"}
    assert kept.status().url == "http://10.8.0.5:19001/"
    expose(kept, "any")
    one = page(kept)
    assert one.elsewhere == {"any": f"http://203.0.113.5:19001/{fragment}"}
    public, approved = one.notes
    assert public == (
        f"{NAME} lets in no page at http://203.0.113.5:19001/ yet: "
        f"ocm edit {NAME} gateway.controlUi.allowedOrigins '[\"http://203.0.113.5:19001\"]'"
    )


SSH = {"SSH_CONNECTION": "198.51.100.7 50514 203.0.113.5 2222"}


@pytest.mark.parametrize(
    ("environ", "desktop", "remote", "user", "server"),
    [
        ({"DISPLAY": ":0"}, True, False, "ann", Server(os.uname().nodename)),
        ({}, False, False, "ann", Server(os.uname().nodename)),
        (SSH, False, True, "ann", Server("203.0.113.5", 2222)),
        # A window that ssh -X would open there is none of this machine's.
        ({**SSH, "DISPLAY": "localhost:10.0"}, False, True, "ann", Server("203.0.113.5", 2222)),
        ({**SSH, "SUDO_USER": "bob"}, False, True, "bob", Server("203.0.113.5", 2222)),
        ({"SUDO_USER": "bob"}, False, False, "bob", Server(os.uname().nodename)),
        ({"SSH_CONNECTION": "::1 1 ::1 22"}, False, True, "ann", Server(os.uname().nodename)),
    ],
)
def test_where_a_person_sits_is_seen_by_the_environment(  # noqa: PLR0913 - the environment, and what is seen
    kept: Kept,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    *,
    desktop: bool,
    remote: bool,
    user: str,
    server: Server,
) -> None:
    for booted in (True, False):
        monkeypatch.setattr(operation, "is_booted", lambda booted=booted: booted)
        expected = Seat(desktop=desktop, remote=remote, container=not booted, user=user, server=server)
        assert seat(kept.host, environ) == expected


def test_a_browser_is_given_the_token_and_nobody_else_is(kept: Kept, tmp_path: Path) -> None:
    kept.deploy()
    Path(kept.host.runtime).mkdir(mode=0o700)
    opener, told = tmp_path / "xdg-open", tmp_path / "told"
    opener.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$TOLD"; cat "${1#file://}" >>"$TOLD"\n')
    opener.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/bin:/usr/bin", "DISPLAY": ":0", "TOLD": str(told)}
    assert show(kept.context, [page(kept)], environ) is None
    address, *text = told.read_text().splitlines()
    assert address.startswith(f"file://{kept.host.runtime}/")
    assert token(kept) not in address
    assert any(f"0; url=http://127.0.0.1:19001/#token={token(kept)}" in line for line in text)
