"""Where Node, OpenClaw and OCM's programs are in the image, and how a gateway is run there."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.image.entries import PROGRAM, Entry, file, link
from openclaw_ocm.core.openclaw.run import (
    COLLECT_NAME,
    ENTRY,
    MANNERS,
    NODE_FLAGS,
    SHELL_NAME,
    memory_flags,
    openclaw_script,
    places,
    shell_script,
)
from openclaw_ocm.core.sandbox.launch import DOCKER_NAME, INIT_NAME, PERL, SECRETS_NAME, TOOL_HOST_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

NODE = PurePosixPath("/usr/bin/node")
NPM = PurePosixPath("/usr/lib/node_modules/npm")
OPENCLAW = PurePosixPath("/app/node_modules/openclaw")
PROGRAMS = PurePosixPath("/opt/ocm/bin")
# What makes boxes for sessions other than main, where a pod may: `docker` is found only by whoever puts this
# on the PATH.
BOXES = PurePosixPath("/opt/ocm/boxes")
# As OpenClaw's own images have them (docs/install/kubernetes.md of OpenClaw 2026.9.6).
USER, UID = "node", 1000
HOME = PurePosixPath("/home/node")
STATE = HOME / ".openclaw"
PORT = 18789
# What nobody reads there.
_LEFT_OUT_OF_NPM = ("docs", "man")


def inside(path: PurePosixPath) -> str:
    """Return a path in the image as a layer names it."""
    return str(path).removeprefix("/")


def environment() -> dict[str, str]:
    """Return the variables of all that runs in the image; which instance it is comes with the pod."""
    return {**places(HOME, STATE, PROGRAMS), **MANNERS}


def entrypoint() -> tuple[str, ...]:
    """Return what `openclaw ARGUMENTS` begins with: below OCM's init, for Node buries no orphan as PID 1."""
    flags = (*memory_flags(PROGRAMS), *NODE_FLAGS)
    return (PERL, str(PROGRAMS / INIT_NAME), str(NODE), *flags, str(OPENCLAW / ENTRY))


def command() -> tuple[str, ...]:
    """Return the arguments without others."""
    return ("gateway", "run")


def node_place(path: str) -> str | None:
    """Return where a file of npm's package goes, None for one that is left out."""
    return None if path.partition("/")[0] in _LEFT_OUT_OF_NPM else f"{inside(NPM)}/{path}"


def openclaw_place(path: str) -> str:
    """Return where a file of OpenClaw's package goes: all of it, as it is run here."""
    return f"{inside(OPENCLAW)}/{path}"


def node_links() -> dict[str, Entry]:
    """Return the commands of npm, as npm makes them."""
    return {f"usr/bin/{name}": link(f"../lib/node_modules/npm/bin/{name}-cli.js") for name in ("npm", "npx")}


def programs(texts: Mapping[str, bytes], filters: Mapping[str, bytes]) -> dict[str, Entry]:
    """Return OCM's programs: those of every gateway, and beside them what makes boxes.

    `texts` are those of the programs by their names, `filters` the compiled ones of the tool host.
    """
    written = {
        PROGRAMS / "openclaw": openclaw_script(str(NODE), OPENCLAW).encode(),
        PROGRAMS / SHELL_NAME: shell_script(STATE).encode(),
        **{PROGRAMS / name: texts[name] for name in (INIT_NAME, SECRETS_NAME, COLLECT_NAME)},
        **{BOXES / name: texts[name] for name in (TOOL_HOST_NAME, DOCKER_NAME)},
    }
    return {
        **{inside(path): file(content, PROGRAM) for path, content in written.items()},
        **{inside(BOXES / name): file(content) for name, content in filters.items()},
    }
