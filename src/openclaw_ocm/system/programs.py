"""Reads the programs that OCM has others run: each a file of its own language in the package."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import openclaw_ocm
from openclaw_ocm.core.openclaw.run import COLLECT_NAME
from openclaw_ocm.core.sandbox.launch import DOCKER_NAME, INIT_NAME, SECRETS_NAME, TOOL_HOST_NAME

# By the names that they have beside a gateway, as files of the package; without a dot it is a directory.
_BESIDE_GATEWAYS = {
    INIT_NAME: "init.pl",
    SECRETS_NAME: "with_secrets.pl",
    COLLECT_NAME: "collect_when_idle.mjs",
    TOOL_HOST_NAME: "tool_host",
    DOCKER_NAME: "docker.py",
}
DIRECTORY = Path(openclaw_ocm.__file__).with_name("programs")


@functools.cache
def text(name: str) -> str:
    """Return the text of a program, `init.pl` for instance."""
    return (DIRECTORY / name).read_text(encoding="utf-8")


@functools.cache
def archive(name: str) -> bytes:
    """Return a package of `programs` as one file that Python runs (zipapp); the same each time."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        for path in sorted((DIRECTORY / name).glob("*.py")):
            inside = path.name if path.name == "__main__.py" else f"{name}/{path.name}"
            packed.writestr(zipfile.ZipInfo(inside), path.read_bytes())
    return made.getvalue()


def beside_gateway(name: str) -> bytes:
    """Return the program that has this name beside a gateway, in a sandbox or an image."""
    source = _BESIDE_GATEWAYS[name]
    return text(source).encode() if "." in source else archive(source)
