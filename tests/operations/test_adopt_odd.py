"""Configs and names that nobody expects are taken, or refused in a sentence."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.operations.owned import Owned


DEEP: Any = "x"
for _ in range(90):
    DEEP = [DEEP]
TAKEN: tuple[dict[str, Any], ...] = (
    {"messages": {"responsePrefix": "/think " + "x" * 300}},
    {"x": "~nosuchuser/x"},
    {"x": "~/\0"},
    {"x": "/" + "b" * 9000},
    {"x": DEEP},
    {"agents": {"defaults": {"workspace": "/" + "a" * 5000}}},
    {"agents": {"defaults": {"workspace": "/" + "a" * 300}}},
    {"agents": {"defaults": {"workspace": "\0x"}}},
    {"agents": {"entries": [], "list": {}}},
    {"auth": [], "env": [], "hooks": 3},
    {"auth": {"profiles": {"a": 1}, "order": []}, "env": {"vars": []}},
    {"gateway": {"port": True}},
    {"gateway": {"port": "1" * 5000}},
    {"gateway": {"auth": "no"}},
    {"channels": ["telegram"]},
    {"meta": {"lastTouchedVersion": 5}},
)
EITHER: tuple[dict[str, Any], ...] = (
    {"x": "/\ud800"},
    {"cron": 7},
    {"gateway": 4},
    {"agents": []},
    {"browser": 3, "logging": 4, "discovery": 5, "update": []},
    {"meta": {"lastTouchedVersion": "9" * 5000}},
    {"meta": {"lastTouchedVersion": "9" * 60}},
    {"meta": {"lastTouchedVersion": "2026.9.6-" + "1" * 5000}},
    {"meta": {"lastTouchedVersion": "\x1b[31m"}},
    {"$include": ["./nowhere.json5"]},
    {"$include": 5},
)


@pytest.mark.parametrize("odd", [*TAKEN, *EITHER], ids=lambda odd: json.dumps(odd)[:40])
def test_a_config_that_is_odd_ends_in_no_bug(owned: Owned, odd: dict[str, Any]) -> None:
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    (owned.state / "openclaw.json").write_text(json.dumps({**config, **odd}))
    for move in (False, True):
        said = refused(owned, move=move)
        assert not said or odd in EITHER, said
        assert len(said) < 600
        assert "\x1b" not in said


def refused(owned: Owned, *, move: bool) -> str:
    """Return why the profile is not adopted, nothing where it is."""
    try:
        owned.adopt("work", move=move, dry_run=True)
    except OcmError as error:
        return f"{error.message}: {error.hint}"
    return ""


@pytest.mark.parametrize(
    "wanted",
    [
        *(
            "~nosuchuser/x",
            "~nosuchuser/x.tar",
            "~nosuchuser",
            "/" + "a" * 300,
            "a" * 300,
            "a" * 300 + ".tar",
        ),
        *("/nowhere/x.tar.gz", "/etc/passwd/x", "./\x1b[31m", "/" + "b/" * 3000, "", "."),
    ],
    ids=lambda text: text[:20] or "nothing",
)
def test_what_is_no_name_of_anything_is_told_in_a_sentence(owned: Owned, wanted: str) -> None:
    before = owned.kept.files()
    with pytest.raises(OcmError) as caught:
        owned.adopt(wanted)
    assert caught.value.message
    assert owned.kept.files() == before


def test_from_a_directory_that_is_gone_a_profile_is_found_and_a_path_is_not(
    owned: Owned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert owned.adopt("work", dry_run=True).steps
    assert owned.adopt(str(owned.state), dry_run=True).steps
    for wanted in ("./work", ".", "x.tar", "../x"):
        with pytest.raises(OcmError, match="which is gone") as caught:
            owned.adopt(wanted)
        assert caught.value.hint == "cd ~; then try again"
    with pytest.raises(OcmError, match="there is no profile nobody"):
        owned.adopt("nobody")


def test_a_path_in_a_closed_directory_is_no_reason_to_refuse_a_config(
    owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((owned.state / "openclaw.json").read_text().partition("\n")[2])
    config["gateway"]["tls"] = {"certPath": "/etc/closed/key.pem"}
    (owned.state / "openclaw.json").write_text(json.dumps(config))
    stat = os.stat

    def refusing(path: Any, *more: Any, **options: Any) -> os.stat_result:  # noqa: ANN401 - as os.stat has it
        # The tests may run as root, whom no mode keeps out.
        if str(path).startswith("/etc/closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *more, **options)

    monkeypatch.setattr(os, "stat", refusing)
    assert owned.adopt("work", dry_run=True).steps
