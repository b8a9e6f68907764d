"""In what an instance differs from its description."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest

from openclaw_ocm.core.fleet.difference import Have, differences
from openclaw_ocm.core.fleet.export import bot_allowed
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


@pytest.mark.parametrize("allow", [["1"], ["1", "1"], ["3", "1"]])
def test_who_is_no_longer_in_the_file_may_write_to_the_bot_no_more(allow: list[str]) -> None:
    text = f"channels.telegram = {{ token = {{ env = 'T' }}, allow = {allow} }}"
    before = with_telegram({}, ("1", "2"))
    assert words(text, config=before) == ("change who may write to its Telegram bot",)
    after = with_telegram(before, tuple(allow), only=True)
    assert set(after["channels"]["telegram"]["allowFrom"]) == set(allow)
    assert words(text, config=after) == ()


@pytest.mark.parametrize("allowed", [["1", "tg:2"], ["*", "1"], ["@ann"], ["*"]])
def test_whom_no_file_can_name_is_left_alone_by_the_file_of_what_there_is(allowed: list[str]) -> None:
    config = with_telegram({}, ("1",))
    config["channels"]["telegram"] |= {"allowFrom": allowed, "groupAllowFrom": allowed}
    found = list(bot_allowed(config) or ())
    assert words(f"channels.telegram = {{ token = {{ env = 'T' }}, allow = {found} }}", config=config) == ()


def test_without_a_list_who_may_write_to_the_bot_stays() -> None:
    assert words("channels.telegram.token.env = 'T'", config=with_telegram({}, ("1", "2"))) == ()


@pytest.mark.parametrize("version", ["2026.9.5", "2026.9.6"])
def test_a_version_is_what_upgrades_by_themselves_begin_with(version: str) -> None:
    text = f"openclaw = '{version}'\nauto_upgrade.versions = 'all'"
    assert "OpenClaw" not in f"{words(text)}"
    assert words(text, version="2026.9.4")[0] == f"OpenClaw 2026.9.4 -> {version}"
    assert words("openclaw = '2026.9.5'") == ("OpenClaw 2026.9.6 -> 2026.9.5",)
