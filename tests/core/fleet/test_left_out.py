"""In what an instance differs from its description."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from openclaw_ocm.core.fleet.difference import Have, differences
from openclaw_ocm.core.fleet.parse import parse_fleet
from openclaw_ocm.core.names import parse_name
from openclaw_ocm.core.openclaw.channels import TOKEN, with_telegram
from openclaw_ocm.core.record import Record, Runtime

NAME, BOT = parse_name("mira"), "123456:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghi"


def words(text: str, *, version: str = "2026.9.6", config: dict[str, Any] | None = None) -> tuple[str, ...]:
    home = PurePosixPath("/home/ann")
    fleet = parse_fleet(f"[instances.mira]\nrunning = false\n{text}", home=home, folder=home)
    have = Have(
        record=Record(name=NAME, port=19001, runtime=Runtime(node="/n", openclaw="/o")),
        version=version,
        running=False,
        source=None,
        model=None,
        config=config or {},
        secrets={TOKEN: BOT},
    )
    found = differences(
        fleet.instances[NAME], have, mounts=(), secrets={}, bot=BOT if "telegram" in text else None
    )
    return tuple(one.words for one in found)


@pytest.mark.parametrize("allow", [["1"], ["1", "1"], ["2", "1"]])
def test_who_is_no_longer_in_the_file_may_write_to_the_bot_no_more(allow: list[str]) -> None:
    text = f"channels.telegram = {{ token = {{ env = 'T' }}, allow = {allow} }}"
    before = with_telegram({}, ("1", "2"))
    assert words(text, config=before) == ("change who may write to its Telegram bot",)
    assert words(text, config=with_telegram(before, tuple(allow), only=True)) == ()


def test_without_a_list_who_may_write_to_the_bot_stays() -> None:
    assert words("channels.telegram.token.env = 'T'", config=with_telegram({}, ("1", "2"))) == ()


@pytest.mark.parametrize("version", ["2026.9.5", "2026.9.6"])
def test_a_version_is_what_upgrades_by_themselves_begin_with(version: str) -> None:
    text = f"openclaw = '{version}'\nauto_upgrade.versions = 'all'"
    assert "OpenClaw" not in f"{words(text)}"
    assert words(text, version="2026.9.4")[0] == f"OpenClaw 2026.9.4 -> {version}"
    assert words("openclaw = '2026.9.5'") == ("OpenClaw 2026.9.6 -> 2026.9.5",)
