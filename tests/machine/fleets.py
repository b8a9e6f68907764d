"""What tests of fleet files share: three agents, each with a bot, what differs from a file, and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .instances import answer, say

if TYPE_CHECKING:
    from .checkout import Ocm
    from .telegram import Telegram

USER = 4242
BOTS = {"ada": 47201, "ben": 47202, "cleo": 47203}
ONE = """
[instances.{name}.channels.telegram]
token = {{ file = "{name}.token" }}
allow = ["{user}"]
"""


def token(name: str) -> str:
    return f"{BOTS[name]}:{'Tk' * 20}"


def changes(ocm: Ocm, path: str) -> dict[str, list[str]]:
    """Return what the plan of a fleet file has to say of each."""
    planned = answer(ocm, "plan", "-f", path)["results"]
    return {one["name"]: one["changes"] for one in planned}


def assert_all_answer(ocm: Ocm, telegram: Telegram) -> None:
    for name, number in BOTS.items():
        bot = telegram.bot(number)
        bot.write(USER, f"ECHO:{name}")
        bot.hears(USER, name)
        assert name in say(ocm, name, f"ECHO:{name}")
