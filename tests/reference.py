"""The references of record, settings, JSON and environment, made from the code: `script/docs` writes them.

A field's meaning is the string below it in the source, or for answers in JSON what stands here: most of their
fields are those of many answers.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import msgspec
from tests import samples

from openclaw_ocm.cli.session import _PASSED
from openclaw_ocm.core.metrics.families import KNOWN
from openclaw_ocm.core.openclaw.run import environment
from openclaw_ocm.core.placement import Placement
from openclaw_ocm.core.record import AutoUpgrade, Keep, Limits, Record, Runtime, Schedule, Settings, Shown

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "openclaw_ocm"
MADE = "Made by `script/docs` from the code; do not edit."
EXAMPLE = """\
```toml
version = 1
name = "worker1"
backend = "systemd"
port = 19001
autostart = true

[runtime]
node = "/home/me/.local/share/ocm/node-24.19.0/bin/node"
openclaw = "/home/me/.npm-global/lib/node_modules/openclaw"

[limits]
memory = "2G"

[backups]
every = "03:00"
```
"""

# Which class answers, by command; every other command with --json answers with an Outcome.
ANSWERS = {
    "list": "Row",
    "health": "Row",
    "status": "Status",
    "history": "HistoryEntry",
    "logs": "Entry",
    "metrics": "Metric",
    "notify list": "WayShown",
    "notify test": "Tested",
    "notify check": "Delivery",
    "setup": "Setup",
    "doctor": "Diagnosis",
    "edit": "Edited",
    "open": "ControlUi",
    "check": "Checked",
    "channel list": "Channel",
    "network": "Reached",
    "env": "Variables",
    "mount": "Mounts",
    "limits": "Limited",
    "export": "Exported",
    "model": "Chosen",
    "secret list": "Secret",
    "outdated": "Age",
    "runtime install": "RuntimeChange",
    "runtime list": "OpenClaw",
    "runtime remove": "RuntimeChange",
    "runtime prune": "RuntimeChange",
    "image build": "Image",
    "image push": "Pushed",
    "update-models": "Updated",
    "backup": "Backup",
    "backups list": "Stored",
    "backups verify": "Verified",
    "backups prune": "Pruned",
}
BELOW = (
    "Answered",
    "Reading",
    "Offers",
    "Offered",
    "Backups",
    "LastRun",
    "Upgrades",
    "LastUpgrade",
    "Change",
    "Finding",
    "Problem",
    "Layer",
    "Runtime",
    "Shown",
    "Message",
)
# Where two classes bear a name, the module whose is meant.
MEANT = {
    "Reading": "core/metrics/families.py",
    "Entry": "core/log.py",
    "Change": "core/models/update.py",
    "Finding": "core/needs.py",
}

MEANINGS = {
    "Image.reference": "its name in the file, for who imports it",
    "Image.digest": "the digest of its manifest",
    "Image.openclaw": "the version of OpenClaw in it",
    "Image.node": "the version of Node in it",
    "Image.steps": "what is done for it, in words",
    "architecture": "for which machines it is, as OCI names them",
    "layers": "its layers, the lowest first",
    "Layer.name": "what is in it",
    "Layer.digest": "the digest of the layer, compressed",
    "Layer.size_bytes": "its size, compressed",
    "unpacked_digest": "the digest of its tar",
    "unpacked_bytes": "the size of that",
    "Pushed.reference": "where it was pushed to",
    "Pushed.digest": "the digest of its manifest, by which it is pulled",
    "WayShown.name": "what it is called",
    "WayShown.kind": "`command`, `email`, `ntfy` or `webhook`",
    "WayShown.sent": "when the last message went, in seconds since 1970; null where none did",
    "target": "where to; of an address that is a secret the server alone",
    "failure": "why the next message did not go, null where nothing is wrong",
    "failing_since": "since when, in seconds since 1970",
    "waiting": "how many messages are still to be sent",
    "lost": "how many messages were dropped, for too many waited",
    "Tested.name": "the way",
    "Tested.kind": "`command`, `email`, `ntfy` or `webhook`",
    "Delivery.message": "the message, as a webhook gets it",
    "ways": "the ways by which it went",
    "waits_for": "the ways by which it is still to go, with `--dry-run` those by which it would",
    "machine": "the name of the machine",
    "Message.instance": "the instance, null where it is about the machine",
    "Message.condition": "what is wrong: `not_ready`, `failed`, `channel_lost`, `disk_full` and others",
    "turn": "`problem`, `well`, `over` where nobody asks for it any more, or `test`",
    "Message.key": "the same for a problem and its end",
    "since": "since when it is wrong, ISO 8601 in UTC",
    "Message.at": "when it was found, ISO 8601 in UTC",
    "Message.title": "what is wrong, in a few words",
    "text": "what is wrong, in sentences",
    "type": "what to type, null where nothing is wrong",
    "Message.version": "the version of this form",
    "Exported.text": "the fleet file",
    "Exported.output": "where it was written, null where it was not",
    "Exported.secrets": "files with secrets that were written",
    "memory": "memory at most, such as `2G`; null for no limit of OCM's",
    "cpus": "CPUs at most; null for no limit of OCM's",
    "tasks": "threads and processes at most",
    "OpenClaw.bytes": "what goes with it when it is removed, null for one that is not OCM's",
    "OpenClaw.name": "its version where OCM installed it, `system` for that of the PATH, else its path",
    "OpenClaw.node": "the Node that runs it, null where none here can",
    "OpenClaw.openclaw": "its package directory, null where `problem` tells why there is none",
    "OpenClaw.problem": "why no instance can be made with it, null where one can",
    "OpenClaw.version": "its version, null where that cannot be read",
    "newest": "the newest on its channel",
    "outdated": "whether that is newer than what it runs",
    "Metric.name": "its name in OpenMetrics",
    "help": "what it means",
    "kind": "`gauge`, `counter`, `info` or `stateset`",
    "labels": "what tells the number from others, by name",
    "readings": "its numbers",
    "sample": "the name of its numbers, as Prometheus has it",
    "unit": "`seconds`, `bytes`, or empty",
    "value": "the number",
    "Row.newest": "the newest on its channel, as npm's registry said last; null where it was not asked",
    "Row.outdated": "whether that is newer than what is installed of it, null where that is not known",
    "asked": "when the registry was asked for that, in seconds since 1970",
    "Age.channel": "npm's channel that it follows: `latest`, or `beta` before a release",
    "used_by": "the instances that run it",
    "RuntimeChange.name": "the version",
    "Mounts.mounts": "what it is shown",
    "Mounts.problems": "what keeps it from being shown some of it, in words",
    "at": "where the instance sees it",
    "writable": "whether the instance may write it",
    "Shown.path": "what is shown",
    "Status.mounts": "what of the machine it is shown, in words",
    "bounded": "whether one instance is kept from taking all inotify instances of its user",
    "Answered.message": "what came of it, in a sentence",
    "Answered.mend": "what to type about what failed",
    "Answered.problem": "the slug of what failed",
    "answer": "what the agent said",
    "boxes": "whether tools of sessions other than main have boxes, null if that is not known",
    "boxed": "whether its tools were in a box",
    "ok": "whether it answers, and its tools work",
    "session": "`main` or `group`",
    "turns": "what came of each session",
    "words": "OpenClaw's own on what failed",
    "ControlUi.link": "the same with its token in the fragment, with `--show-token` alone",
    "ControlUi.token": "`shown` in the links, `hidden`, or `none` if OCM knows none that lets in",
    "elsewhere": "the page by the network that the instance is exposed to, as `link`",
    "ssh": "what is typed on another machine to have the ports of all these lead here",
    "access": "who may write to it, in words",
    "channel": "the channel",
    "enabled": "whether it is on",
    "about": "the instance, or `this machine`",
    "added": "models that are new, by id",
    "agent": "what keeps its agent from answering, null where nothing is known and in `list`",
    "archive": "where the last one is",
    "autostart": "whether it starts with the machine",
    "backend": "what keeps the gateway running",
    "backup": "what is wrong with scheduled backups",
    "upgrade": "what is wrong with scheduled upgrades",
    "upgrades": "scheduled upgrades, null if there are none",
    "Upgrades.problem": "what is wrong with scheduled upgrades",
    "Upgrades.last": "what became of the last one",
    "versions": "`patch` or `all`",
    "Upgrades.at": "the time of day",
    "LastUpgrade.version": "what it was for, null where nothing was newer",
    "refused": "the version with which it failed, null where there is none",
    "backups": "scheduled backups, null if there are none",
    "changed": "whether something was changed",
    "changes": "what changes in secrets, configs and what is inherited, in words",
    "Change.changed": "models that are otherwise now, by id",
    "command": "the command and the names of its options, never a value",
    "cpu_seconds": "CPU time since its start",
    "databases": "how many databases it holds",
    "detail": "what was found",
    "directory": "where they go, a repository too, null for `~/backups`",
    "drift": "what is otherwise than the record asks for",
    "drill": "what became of it restored, null without `--drill`",
    "dry_run": "whether this only tells what would be done",
    "encrypted": "whether it is encrypted",
    "HistoryEntry.ended": "how it ended, in words",
    "HistoryEntry.error": "the slug of the error that ended it",
    "ended": "when the last one ended, in seconds since 1970",
    "error": "why the last one failed",
    "every": "the time at which they are made",
    "expose": "networks that reach the gateway",
    "network": "`own`, `none` or `shared`",
    "allow": "what is near and it reaches in a network of its own",
    "files": "how many files it holds",
    "findings": "what this machine has and lacks",
    "firewall": "how UFW's rules stand, in words",
    "fix": "what `doctor --fix` does about it",
    "fixed": "what was just mended",
    "gaps": "what the policy asks for and this machine cannot enforce",
    "isolation": "`sealed` or `unsealed`",
    "keep": "which are kept, in words",
    "kept": "files that stay",
    "Change.kept": "models that the list lacks and that stay, by id",
    "key": "the name of the secret",
    "keys": "the dotted keys that change",
    "last": "what became of the last one",
    "Secret.last": "its last characters, where it is long enough",
    "left_out": "how many files were left out, by reason",
    "missed": "what it missed when it was restored",
    "plugins": "plugins that are no part of it, each as it is installed again",
    "left_out_paths": "what of them is named: the first 1000, below the state",
    "instance": "the instance",
    "last_change": "the last change of it that is known",
    "limits": "what it may use at most, in words",
    "memory_bytes": "memory that it uses",
    "mend": "what a person types about it",
    "message": "what became of it, in a sentence",
    "Entry.message": "what was logged",
    "model": "the model that its agents use",
    "models": "those that are known",
    "name": "the instance",
    "next": "when the next one is due, in seconds since 1970",
    "node": "the Node that runs it",
    "notes": "warnings",
    "openclaw": "the OpenClaw that it runs",
    "Verified.openclaw": "the version of OpenClaw that it was made with",
    "operation": "the command",
    "others": "instances that were changed along with it",
    "path": "the file",
    "paths": "where its files are, by name",
    "pid": "the gateway's process",
    "port": "the gateway's port",
    "problem": "what is wrong with its record",
    "Backups.problem": "what is wrong with scheduled backups",
    "problems": "what is wrong",
    "provider": "whose models",
    "providers": "what changed, by provider",
    "Offers.providers": "the providers that are known",
    "Chosen.key": "the secret that holds the key",
    "reference": "the model as `ocm model` takes it",
    "restarted": "whether the gateway was restarted, or would be",
    "title": "what its provider calls it",
    "reason": "why it is in that state",
    "removed": "files that go",
    "Change.removed": "models that are gone, by id",
    "required": "whether OCM cannot do without it",
    "resisting": "what could not be mended, and why",
    "restart_keys": "those for which a gateway that runs is restarted",
    "restarts": "how often its backend started it again",
    "root": "whether OCM runs as root",
    "row": "the instance at a glance",
    "running": "whether its gateway runs",
    "runtime": "the Node and the OpenClaw that instances get",
    "seconds": "how long it took, null if that is not known",
    "setup": "what this machine has and lacks",
    "size_bytes": "the size of the file",
    "source": "`own`, `main`, or the instance that it comes from",
    "Entry.source": "the gateway or the backend",
    "state": "`ready`, `starting`, `draining`, `stopped` or `failed`",
    "Finding.state": "`have`, `missing` or `unneeded`",
    "state_bytes": "the size of what it holds",
    "steps": "the steps of the plan, in words",
    "Setup.steps": "what would be installed",
    "Finding.steps": "what would bring it",
    "Problem.steps": "the plan that mends it; for OCM's own use",
    "succeeded": "when one went well last, in seconds since 1970",
    "time": "when, ISO 8601 in UTC",
    "total": "how many models there are now",
    "uptime_seconds": "how long it has been running",
    "url": "where its page is on this machine",
    "variables": "values by name; every user of the machine can read them",
    "usable": "whether its provider has a key that works, as far as OpenClaw knows",
    "version": "the version of OpenClaw",
    "what": "what it is about",
    "Problem.what": "what is wrong, in a sentence",
    "when": "when it began, ISO 8601 in UTC",
    "why": "why OCM needs it",
}
WORDS = {
    "Kind": "text",
    "str": "text",
    "InstanceName": "text",
    "Backend": "text",
    "BackendName": "text",
    "Absolute": "text",
    "Presence": "text",
    "int": "number",
    "float": "number",
    "Moment": "number",
    "Literal['shown', 'hidden', 'none']": "text",
    "bool": "true or false",
    "Install": "object",
    "Step": "object",
    "LeftOut": "objects with `path` and `reason`",
}

# What OCM itself reads; the rest of the environment reaches neither programs that it calls nor instances.
VARIABLES = {
    "BROWSER": "what `ocm open` opens a page with, before `xdg-open`",
    "WAYLAND_DISPLAY": "that you are in a graphical session, for `ocm open`",
    "DISPLAY": "the same, if `WAYLAND_DISPLAY` is not set",
    "SSH_CONNECTION": "that you came by ssh, and how, for `ocm open`",
    "SUDO_USER": "as whom you came, if you are another user now, for `ocm open`",
    "HOME": "your home, if it is not that of your account",
    "PATH": "where Node and OpenClaw are looked for",
    "XDG_CONFIG_HOME": "in the place of `~/.config`",
    "XDG_STATE_HOME": "in the place of `~/.local/state`",
    "XDG_DATA_HOME": "in the place of `~/.local/share`",
    "XDG_RUNTIME_DIR": "where the user manager's socket is, if not in `/run/user/UID`",
    "DBUS_SESSION_BUS_ADDRESS": "your bus, if it is not in the directory above",
    "VISUAL": "the editor of `ocm edit NAME`",
    "EDITOR": "the same, if `VISUAL` is not set",
    "TZ": "the time zone of a container that has none of its own",
    "TERM": "your terminal; `ocm use` and `ocm enter` pass it on",
    "COLORTERM": "passed on by `ocm use` and `ocm enter`",
    "COLUMNS": "passed on by `ocm use` and `ocm enter`",
    "LINES": "passed on by `ocm use` and `ocm enter`",
    "FORCE_COLOR": "passed on by `ocm use` and `ocm enter`",
    "NO_COLOR": "no colours in tables; passed on as well",
}
NETWORK = """\
Programs that install something get those about the network as well.
They are `http_proxy`, `https_proxy`, `ftp_proxy`, `all_proxy` and `no_proxy`, also in capitals.
They are also `PIP_...`, `NPM_CONFIG_...`, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `NODE_EXTRA_CA_CERTS`,
`REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `REGISTRY_AUTH_FILE` and `DOCKER_CONFIG`.
"""


@functools.cache
def references() -> dict[Path, str]:
    """Return the text of each reference that is made here, by file."""
    folder = ROOT / "docs" / "reference"
    made = {
        "record": record,
        "settings": settings,
        "json": answers,
        "environment": variables,
        "metrics": told_metrics,
    }
    return {folder / f"{name}.md": "\n".join(make()) for name, make in made.items()}


def record() -> Iterator[str]:
    """Yield the lines of the reference of records."""
    yield from ("# Record", "", MADE, "")
    yield "A record says what you want of an instance."
    yield "It is a TOML file, `~/.config/ocm/instances/NAME.toml`."
    yield "OCM writes it, and you may edit it: `ocm restart NAME` takes up a change."
    yield from ("A field that is not listed here is refused.", "", EXAMPLE)
    for kind, heading in (
        (Record, "Top level"),
        (Runtime, "[runtime]"),
        (Limits, "[limits]"),
        (Schedule, "[backups]"),
        (Keep, "[backups.keep]"),
        (AutoUpgrade, "[auto_upgrade]"),
        (Shown, "[[mounts]]"),
        (Placement, "[placement]"),
    ):
        yield from (f"## {heading}", "", *_struct(kind))


def settings() -> Iterator[str]:
    """Yield the lines of the reference of the host's settings."""
    yield from ("# Settings", "", MADE, "")
    yield "What holds for all instances of a user. It is a TOML file, and need not be there:"
    yield from ("`~/.config/ocm/settings.toml`.", "", *_struct(Settings))


def _struct(kind: type[msgspec.Struct]) -> Iterator[str]:
    """Yield a table of the fields of a struct, with the strings below them in its source for meanings."""
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    meanings = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            assert isinstance(field.target, ast.Name)
            meanings[field.target.id] = ast.literal_eval(below.value)
    yield from ("| field | value | if left out | meaning |", "|---|---|---|---|")
    for known in msgspec.structs.fields(kind):
        value = _value(msgspec.inspect.type_info(known.type))
        yield f"| `{known.name}` | {value} | {_default(known)} | {meanings[known.name]} |"
    yield ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT:
        assert callable(field.default_factory)
        value = field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "as below"
    if value is None or value in ((), {}):
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`"


def _value(kind: msgspec.inspect.Type) -> str:
    """Return in words what a field may be."""
    found = "text"
    match kind:
        case msgspec.inspect.UnionType(types=types):
            (one,) = (one for one in types if not isinstance(one, msgspec.inspect.NoneType))
            found = _value(one)
        case msgspec.inspect.LiteralType(values=values):
            found = " or ".join(f"`{value}`" for value in values)
        case msgspec.inspect.IntType(ge=least, le=most) | msgspec.inspect.FloatType(ge=least, le=most):
            found = f"{least}" if least == most else f"{least} to {most}"
        case msgspec.inspect.BoolType():
            found = "true or false"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType()):
            found = "list of tables"
        case msgspec.inspect.VarTupleType():
            found = "list of text"
        case msgspec.inspect.StructType():
            found = "table"
        case msgspec.inspect.DictType():
            found = "table of text"
        case msgspec.inspect.StrType(pattern=pattern) if pattern and pattern.startswith(r"\A/"):
            found = "absolute path"
        case _:
            assert isinstance(kind, msgspec.inspect.StrType), kind
    return found


def answers() -> Iterator[str]:
    """Yield the lines of the reference of answers in JSON."""
    yield from ("# JSON", "", MADE, "")
    yield "`--json` prints one object, whatever came of the command."
    yield "Fields may be added. The version counts up if one is taken away or means something else."
    yield from ("", "| field | type | meaning |", "|---|---|---|")
    yield "| `version` | number | the version of this form |"
    yield "| `ok` | true or false | whether all went well |"
    yield "| `command` | text | the command |"
    yield "| `results` | list of objects | one for each instance or thing that went well; see below |"
    yield "| `errors` | list of objects | one for each that did not |"
    yield "| `warnings` | list of text | what else is to be known, such as a change that was interrupted |"
    yield from ("", "An error:", "", "| field | type | meaning |", "|---|---|---|")
    yield "| `name` | text or null | the instance |"
    yield "| `code` | text | the slug, as in [troubleshooting](../troubleshooting.md#errors-by-slug) |"
    yield "| `message` | text | what happened |"
    yield "| `hint` | text or null | what to type |"
    yield "| `details` | list of text | further lines, such as a gateway's last words |"
    yield from ("", "`ocm logs` prints one object for each line instead.", "")
    yield from ("## What is in results", "", "| command | object |", "|---|---|")
    yield from (f"| `ocm {command}` | [{kind}](#{kind.lower()}) |" for command, kind in ANSWERS.items())
    yield from ("| any other | [Outcome](#outcome) |", "")
    for kind in dict.fromkeys(("Outcome", *ANSWERS.values(), *BELOW)):
        yield from _answer(kind)


def _answer(kind: str) -> Iterator[str]:
    """Yield what a class of answers has: what its source says of it, and a table of its fields."""
    tree = _class(kind)
    text = " ".join((ast.get_docstring(tree) or "").split())
    yield from (f"### {kind}", "", text, "", "| field | type | meaning |", "|---|---|---|")
    for field in tree.body:
        if isinstance(field, ast.AnnAssign):
            assert isinstance(field.target, ast.Name)
            name = field.target.id
            meaning = MEANINGS.get(f"{kind}.{name}") or MEANINGS[name]
            yield f"| `{name}` | {_words(ast.unparse(field.annotation))} | {meaning} |"
    yield ""


def told_metrics() -> Iterator[str]:
    """Yield the lines of the reference of metrics."""
    yield from ("# Metrics", "", MADE, "")
    yield "[Monitor](../how-to/monitor.md#prometheus) says how to collect what `ocm metrics` tells."
    yield "What is 0 or 1 is no or yes. What is not known has no line."
    yield "A counter begins anew when its gateway is started by somebody."
    yield from ("", "| name | type | labels | meaning |", "|---|---|---|---|")
    for known in KNOWN:
        labels = ", ".join(f"`{label}`" for label in known.labels)
        yield f"| `{known.sample}` | {known.kind.value} | {labels} | {known.help} |"
    yield ""


def _class(name: str) -> ast.ClassDef:
    """Return the one class of that name that answers are made of."""
    found = [
        node
        for path, tree in _trees().items()
        if str(path).endswith(MEANT.get(name, ".py"))
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    assert len(found) == 1, f"{name}: {len(found)}"
    return found[0]


@functools.cache
def _trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in (*SOURCE.rglob("*.py"), ROOT / "ocm.py")}


def _words(annotation: str) -> str:
    """Return a type in JSON's words."""
    if annotation.endswith(" | None"):
        return f"{_words(annotation.removesuffix(' | None'))} or null"
    if match := re.fullmatch(r"tuple\[(\w+), \.\.\.\]", annotation):
        return f"list of {_words(match[1])}"
    if match := re.fullmatch(r"Mapping\[str, (\w+)\]", annotation):
        return f"object of {_words(match[1])}"
    if annotation in (*ANSWERS.values(), *BELOW):
        return f"[{annotation}](#{annotation.lower()})"
    return WORDS[annotation]


def variables() -> Iterator[str]:
    """Yield the lines of the reference of environment variables."""
    yield from ("# Environment variables", "", MADE, "")
    yield from ("## What OCM reads", "", "| variable | meaning |", "|---|---|")
    yield from (f"| `{name}` | {meaning} |" for name, meaning in VARIABLES.items())
    yield from ("", NETWORK)
    yield "OCM ignores variables of OpenClaw's, such as `OPENCLAW_STATE_DIR`."
    yield from ("", "## What an instance gets", "")
    yield "These, those that `ocm env` gives it, its own secrets, and nothing else of yours."
    yield "With a proxy it gets `NO_PROXY=localhost,127.0.0.1,::1`, unless you say what that is to be."
    yield "Your home is `/home/me` here, and the instance is `worker1`."
    yield from ("", "| variable | value |", "|---|---|")
    made = environment(samples.paths(home=PurePosixPath("/home/me")), samples.record())
    yield from (f"| `{name}` | `{value}` |" for name, value in made.items())
    yield ""


def variables_read() -> set[str]:
    """Return the variables that the source reads by name."""
    found = set(_PASSED)
    for tree in _trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                called, first = ast.unparse(node.func), node.args[0]
                by_name = called.endswith("environ.get") or called == "directory"
                if by_name and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found
