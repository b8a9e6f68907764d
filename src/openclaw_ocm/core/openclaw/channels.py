"""What a config says of Telegram, and which bots it polls: shapes of OpenClaw 2026.9.6."""

from __future__ import annotations

import copy
import hashlib
import re
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.secret_places import expanded, is_secret_reference
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TELEGRAM = "telegram"
TOKEN = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the name of a variable, that of OpenClaw's own
_BOT_TOKEN = re.compile(r"[0-9]{5,20}:[A-Za-z0-9_-]{30,100}")
_USER = re.compile(r"[1-9][0-9]{0,19}")
# What the others need, in a person's words: they are plugins that OpenClaw installs.
OTHERS = {
    "discord": "a bot's token of the Discord Developer Portal, with the message content intent",
    "slack": "an app's bot token (xoxb-) and app token (xapp-) for socket mode",
    "whatsapp": "a telephone that scans a code",
    "signal": "a telephone number of its own and signal-cli",
}
# What is typed once the plugin is there: OpenClaw's docs/channels. Tokens are kept as secrets.
_SETTING_UP = {
    "discord": (
        "ocm secret set {name} DISCORD_BOT_TOKEN",
        """ocm edit {name} channels.discord '{{"enabled": true, "token": "${{DISCORD_BOT_TOKEN}}"}}'""",
    ),
    "slack": (
        "ocm secret set {name} SLACK_BOT_TOKEN",
        "ocm secret set {name} SLACK_APP_TOKEN",
        (
            """ocm edit {name} channels.slack '{{"enabled": true, "mode": "socket","""
            """ "botToken": "${{SLACK_BOT_TOKEN}}", "appToken": "${{SLACK_APP_TOKEN}}"}}'"""
        ),
    ),
    "whatsapp": ("ocm use {name} channels login --channel whatsapp",),
    "signal": ("ocm use {name} channels add --channel signal",),
}


def parse_channel(text: str, name: str) -> str:
    """Return the name of a channel that OCM sets up for the instance `name`.

    Raises `Invalid` for another one: with what it needs, and what is typed to set it up with OpenClaw itself.
    """
    if text == TELEGRAM:
        return text
    if text in OTHERS:
        steps = (
            f"ocm use {name} plugins install @openclaw/{text}",
            *(step.format(name=name) for step in _SETTING_UP[text]),
            f"ocm restart {name}",
        )
        raise Invalid(
            f"{text} is set up with OpenClaw itself; it needs {OTHERS[text]}",
            hint=f"type these; who then writes is let in by ocm use {name} pairing approve {text} CODE",
            code="channel_unsupported",
            details=steps,
        )
    message = f"{text!r} is no channel that OCM knows: {', '.join((TELEGRAM, *OTHERS))}"
    raise Invalid(message, hint=f"ocm use {name} channels list --all", code="channel_unsupported")


def parse_token(text: str) -> str:
    """Return a bot's token; raise `Invalid`, which does not hold the text, where it is none."""
    if not _BOT_TOKEN.fullmatch(text):
        message = "that is no token of a Telegram bot, such as BotFather gives: DIGITS:LETTERS"
        raise Invalid(message, hint="copy all of the line", code="value_invalid")
    return text


def parse_user(text: str) -> str:
    """Return the number of a Telegram user, or raise `Invalid`."""
    if not _USER.fullmatch(text):
        message = f"{text!r} is no user of Telegram's: write the number, not a name nor a group's (-100...)"
        hint = "without --allow whoever writes to the bot is told the number, and you approve them"
        raise Invalid(message, hint=hint, code="user_invalid")
    return text


def with_telegram(config: Mapping[str, Any], allow: tuple[str, ...]) -> dict[str, Any]:
    """Return `config` with a Telegram bot, whose token is in the secret `TOKEN`.

    Those of `allow` may write to it, alone and in groups, where it answers when it is mentioned. Without any,
    who writes to it alone is to be approved, and in groups it answers nobody. What else the config says of
    the channel stays.
    """
    changed = copy.deepcopy(dict(config))
    channels = changed.setdefault("channels", {})
    old = channels.get(TELEGRAM, {}) if isinstance(channels, dict) else None
    if not isinstance(channels, dict) or not isinstance(old, dict):
        raise OcmError("channels is no object", hint="openclaw doctor may mend it", code="config_invalid")
    access: dict[str, Any] = {"dmPolicy": "pairing", "groupPolicy": "allowlist"}
    if allow:
        known = [str(one) for one in old.get("allowFrom") or [] if isinstance(old.get("allowFrom"), list)]
        everybody = list(dict.fromkeys((*known, *allow)))
        # An approval for messages to the bot alone does not count in groups.
        access = {
            "dmPolicy": "allowlist",
            "allowFrom": everybody,
            "groupPolicy": "allowlist",
            "groupAllowFrom": everybody,
        }
    groups = old.get("groups") or {"*": {"requireMention": True}}
    channels[TELEGRAM] = {**old, "enabled": True, "botToken": f"${{{TOKEN}}}", **access, "groups": groups}
    return changed


def without_channel(config: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """Return `config` without a channel."""
    changed = copy.deepcopy(dict(config))
    channels = changed.get("channels")
    if isinstance(channels, dict):
        channels.pop(channel, None)
        if not channels:
            del changed["channels"]
    return changed


def bots(config: Mapping[str, Any], secrets: Mapping[str, str]) -> frozenset[str]:
    """Return a hash of each Telegram token with which a config polls, as far as it can be known.

    `secrets` are the variables of its process; a token in a file of the instance's own is not read.
    """
    telegram = lookup(config, f"channels.{TELEGRAM}")
    if not isinstance(telegram, dict) or telegram.get("enabled") is False:
        return frozenset()
    tokens = set(_tokens(telegram, secrets))
    return frozenset(hashlib.sha256(token.encode()).hexdigest() for token in tokens if token)


def _tokens(telegram: Mapping[str, Any], secrets: Mapping[str, str]) -> Iterator[str]:
    accounts = as_object(telegram.get("accounts"))
    for entry in (telegram, *map(as_object, accounts.values())):
        written = entry.get("botToken")
        if isinstance(written, str):
            yield expanded(written, secrets)
        elif isinstance(written, dict) and is_secret_reference(written) and written["source"] == "env":
            yield secrets.get(str(written["id"]), "")
    if "botToken" not in telegram and "tokenFile" not in telegram:
        yield secrets.get(TOKEN, "")


def access_in_words(entry: Mapping[str, Any]) -> str:
    """Return in words who may write to a bot."""
    allowed = entry.get("allowFrom")
    count = len(allowed) if isinstance(allowed, list) else 0
    policy = entry.get("dmPolicy", "pairing")
    return {
        "pairing": "whoever is approved",
        "allowlist": f"{count} of an allow-list",
        "open": "anybody",
        "disabled": "nobody",
    }.get(str(policy), "unknown")
