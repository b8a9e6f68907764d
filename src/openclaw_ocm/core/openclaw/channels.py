"""What a config says of Telegram, and which bots it polls: shapes of OpenClaw 2026.9.6."""

from __future__ import annotations

import copy
import hashlib
import re
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup
from openclaw_ocm.core.openclaw.secret_places import expanded, is_secret_reference, referred
from openclaw_ocm.core.openclaw.turn import agent_of
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TELEGRAM = "telegram"
TOKEN = "TELEGRAM_BOT_TOKEN"  # noqa: S105 - the name of a variable, that of OpenClaw's own
_BOT_TOKEN = re.compile(r"[0-9]{5,20}:[A-Za-z0-9_-]{30,100}")
_USER = re.compile(r"[1-9][0-9]{0,19}")
_EVERYBODY = "*"
_IF_MENTIONED = {_EVERYBODY: {"requireMention": True}}
_RULES = ("groupPolicy", "dmPolicy", "allowFrom")
# Settings of OpenClaw for all channels, beside them (its isChannelConfigMetadataKey).
_METADATA = frozenset({"defaults", "modelByChannel"})
# Of a bot about which nothing was said yet.
_ACCESS = {"dmPolicy": "pairing", "groupPolicy": "allowlist"}
# Of OpenClaw's docs/channels/telegram, multi-agent account ownership.
_MATCH = {"channel": TELEGRAM, "accountId": "default"}
_BINDING = {"agentId": "", "match": _MATCH}
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
    if not is_token(text):
        message = "that is no token of a Telegram bot, such as BotFather gives: DIGITS:LETTERS"
        raise Invalid(message, hint="copy all of the line", code="value_invalid")
    return text


def is_token(text: str) -> bool:
    """Tell whether a text has the shape of a bot's token."""
    return _BOT_TOKEN.fullmatch(text) is not None


def parse_user(text: str) -> str:
    """Return the number of a Telegram user, or raise `Invalid`."""
    if not _USER.fullmatch(text):
        message = f"{text!r} is no user of Telegram's: write the number, not a name nor a group's (-100...)"
        hint = "without --allow whoever writes to the bot is told the number, and you approve them"
        raise Invalid(message, hint=hint, code="user_invalid")
    return text


def with_telegram(
    config: Mapping[str, Any], allow: tuple[str, ...], name: str = "NAME", *, only: bool = False
) -> dict[str, Any]:
    """Return the `config` of the instance `name` with a Telegram bot, whose token is in the secret `TOKEN`.

    Those of `allow` and whoever was allowed by name may write to it, alone and in groups, where it answers
    when it is mentioned; nobody else, whatever the config said. With `only` no other number may. Without any,
    all is as it was: in a new one who writes to it alone is to be approved, and in groups it answers nobody.
    Of several agents the default one has it. Raises `OcmError` where the channel has accounts, each of which
    has rules of its own.
    """
    changed = copy.deepcopy(dict(config))
    channels = changed.setdefault("channels", {})
    old = channels.get(TELEGRAM, {}) if isinstance(channels, dict) else None
    if not isinstance(channels, dict) or not isinstance(old, dict):
        wrong = f"channels.{TELEGRAM}" if isinstance(channels, dict) else "channels"
        raise OcmError(f"{wrong} is no object", hint=f"ocm use {name} doctor", code="config_invalid")
    if old.get("accounts"):
        message = "channels.telegram has accounts, each with rules of its own: OCM changes none of them"
        hint = f"ocm edit {name} channels.{TELEGRAM} changes them"
        raise OcmError(message, hint=hint, code="channel_unsupported")
    access = {key: old.get(key, value) for key, value in _ACCESS.items()}
    groups = old.get("groups") or _IF_MENTIONED
    if allow:
        before = _named(old.get("allowFrom"))
        if only:
            before = [one for one in before if one in allow or not _USER.fullmatch(one)]
        named = list(dict.fromkeys((*before, *allow)))
        # An approval for messages to the bot alone does not count in groups.
        access = {
            "dmPolicy": "allowlist",
            "allowFrom": named,
            "groupPolicy": "allowlist",
            "groupAllowFrom": named,
        }
        groups = _closed(groups) or _IF_MENTIONED
        if "direct" in old:
            old = {**old, "direct": _closed(old["direct"])}
    channels[TELEGRAM] = {**old, "enabled": True, "botToken": f"${{{TOKEN}}}", **access, "groups": groups}
    channels[TELEGRAM].pop("tokenFile", None)  # OpenClaw would take the token from there
    _bind(changed)
    return changed


def _bind(config: dict[str, Any]) -> None:
    """Give the bot to the default agent where there are several and it is no one's: nobody would answer."""
    entries = as_object(lookup(config, "agents.entries"))
    bindings = config.get("bindings", [])
    if len(entries) < 2 or not isinstance(bindings, list) or any(map(_is_of_all, bindings)):  # noqa: PLR2004
        return
    marked = [name for name, entry in entries.items() if as_object(entry).get("default") is True]
    recorded = lookup(config, "agents.defaults.systemAgent.agentId")
    named = [one for one in (*marked, recorded) if isinstance(one, str) and one in entries]
    config["bindings"] = [*bindings, {"agentId": (named or [agent_of(config)])[0], "match": dict(_MATCH)}]


def _is_of_all(binding: object) -> bool:
    """Tell whether a binding says whose the bot is, not only whose one chat with it is."""
    match = as_object(as_object(binding).get("match"))
    return (
        match.get("channel") == TELEGRAM
        and match.get("accountId") in (None, "", "*", _MATCH["accountId"])
        and not match.get("peer")
    )


def _named(allowed: object) -> list[str]:
    """Return who is allowed by name, without `*`, which is everybody."""
    listed = allowed if isinstance(allowed, list) else []
    return [str(one) for one in listed if isinstance(one, (str, int)) and str(one).strip() != _EVERYBODY]


def _closed(groups: object) -> dict[str, Any]:
    """Return groups, or chats, without rules of their own on who may speak there, and in topics of theirs."""
    found = {}
    for name, rules in as_object(groups).items():
        kept = {key: value for key, value in as_object(rules).items() if key not in _RULES}
        if "topics" in kept:
            kept["topics"] = _closed(kept["topics"])
        found[name] = kept
    return found


def channels_in(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config says of each channel."""
    found = as_object(lookup(config, "channels"))
    return {name: entry for name, entry in found.items() if name not in _METADATA}


def channel_addresses(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each channel of a config with what may be an address of its service."""
    for channel, entry in channels_in(config).items():
        left = [entry]
        while left:
            value = left.pop()
            if isinstance(value, str) and value.startswith(("http", "ws")):
                yield channel, value
            elif isinstance(value, dict | list):
                left += value.values() if isinstance(value, dict) else value


def without_channel(config: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """Return `config` without a channel, and without the binding that `with_telegram` makes."""
    changed = copy.deepcopy(dict(config))
    channels = changed.get("channels")
    if isinstance(channels, dict) and channel not in _METADATA:
        if channels.pop(channel, None) is not None and channel == TELEGRAM:
            _unbind(changed)
        if not channels:
            del changed["channels"]
    return changed


def _unbind(config: dict[str, Any]) -> None:
    """Take away the binding that `_bind` makes, and the list of bindings where nothing else was in it."""
    bindings = config.get("bindings")
    if isinstance(bindings, list) and bindings:
        config["bindings"] = [one for one in bindings if {**as_object(one), "agentId": ""} != _BINDING]
        if not config["bindings"]:
            del config["bindings"]


def _no_file(_path: str) -> str:
    return ""


def bots(
    config: Mapping[str, Any], secrets: Mapping[str, str], read: Callable[[str], str] = _no_file
) -> frozenset[str]:
    """Return a hash of each Telegram token with which a config polls, as far as it can be known.

    `secrets` are the variables of its process, and `read` returns what is in a file that holds a token: one
    of an instance's own is not read.
    """
    telegram = lookup(config, f"channels.{TELEGRAM}")
    if not isinstance(telegram, dict) or telegram.get("enabled") is False:
        return frozenset()
    tokens = {one.strip() for one in _tokens(telegram, secrets, read)}
    # What refers to a variable that is not there is no token: two of those are not the same bot.
    return frozenset(hashlib.sha256(one.encode()).hexdigest() for one in tokens if _BOT_TOKEN.fullmatch(one))


def _tokens(
    telegram: Mapping[str, Any], secrets: Mapping[str, str], read: Callable[[str], str]
) -> Iterator[str]:
    accounts = map(as_object, as_object(telegram.get("accounts")).values())
    for entry in (telegram, *(one for one in accounts if one.get("enabled") is not False)):
        written = entry.get("botToken")
        if entry.get("tokenFile"):
            yield read(str(entry["tokenFile"]))
            continue
        if isinstance(written, str):
            variable = referred(written)
            yield expanded(written, secrets) if variable is None else secrets.get(variable, "")
        elif isinstance(written, dict) and is_secret_reference(written) and written["source"] == "env":
            yield secrets.get(str(written["id"]), "")
    written = telegram.get("botToken", "")
    if isinstance(written, str) and not written.strip() and not telegram.get("tokenFile"):
        yield secrets.get(TOKEN, "")


def access_in_words(entry: Mapping[str, Any]) -> str:
    """Return in words who may write to a bot."""
    allowed = entry.get("allowFrom")
    count = len(allowed) if isinstance(allowed, list) else 0
    policy = entry.get("dmPolicy", "pairing")
    words = {
        "pairing": "whoever is approved",
        "allowlist": f"{count} of an allow-list",
        "open": "anybody",
        "disabled": "nobody",
    }.get(str(policy), "unknown")
    direct = as_object(entry.get("direct"))
    return f"{words}; single chats have rules of their own" if _closed(direct) != direct else words
