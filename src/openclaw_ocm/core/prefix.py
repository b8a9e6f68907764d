"""Where the programs lie that an instance installs: one directory of its state, which backups keep.

npm, pip, uv, pipx, cargo, go and bun are told by variables. What they only cache goes where caches go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

NAME = "programs"
# Below it: what is fetched again at need, and no part of a backup.
CACHES = (("cargo", "registry"), ("cargo", "git"))
# Where uv and pipx keep the environments of programs. uv marks each as a cache, for it could make it again;
# here it is the program itself.
ENVIRONMENTS = (("uv", "tools"), ("pipx", "venvs"))


def search_path(state: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return the directories in which the programs of an instance are looked for, after all others."""
    prefix = state / NAME
    return (prefix / "bin", prefix / "cargo" / "bin")


def variables(state: PurePosixPath) -> dict[str, str]:
    """Return the variables that lead installers to an instance's own prefix."""
    prefix, cache = state / NAME, state / "cache"
    places = {
        "NPM_CONFIG_PREFIX": prefix,
        "UV_TOOL_DIR": prefix / "uv" / "tools",
        "UV_TOOL_BIN_DIR": prefix / "bin",
        "UV_PYTHON_INSTALL_DIR": prefix / "uv" / "python",
        "UV_PYTHON_BIN_DIR": prefix / "bin",
        "PIPX_HOME": prefix / "pipx",
        "PIPX_BIN_DIR": prefix / "bin",
        "PIPX_MAN_DIR": prefix / "share" / "man",
        "CARGO_INSTALL_ROOT": prefix,
        "RUSTUP_HOME": prefix / "rustup",
        "GOBIN": prefix / "bin",
        "GOCACHE": cache / "go-build",
        "GOMODCACHE": cache / "go-mod",
        "BUN_INSTALL": prefix,
        "BUN_INSTALL_CACHE_DIR": cache / "bun",
        # Where OpenClaw 2026.9.6 looks for a browser, before ~/.cache, which no instance writes.
        "PLAYWRIGHT_BROWSERS_PATH": cache / "ms-playwright",
    }
    return {
        **{name: str(place) for name, place in places.items()},
        **steering(state),
        # Debian's Python refuses an install beside its packages (PEP 668). This one goes elsewhere: where
        # those cannot be written pip takes the user's directory by itself, and in a venv that of the venv.
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
    }


def steering(state: PurePosixPath) -> dict[str, str]:
    """Return those variables that OpenClaw 2026.9.6 takes from what its agents run (host-env-security)."""
    prefix = state / NAME
    return {
        "PYTHONUSERBASE": str(prefix),
        "CARGO_HOME": str(prefix / "cargo"),
        "GOPATH": str(prefix / "go"),
    }
