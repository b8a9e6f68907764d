"""How OCM runs itself, out of the hands of the caller: with an environment from nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import openclaw_ocm
from openclaw_ocm.core.paths import host_paths
from openclaw_ocm.core.sandbox.launch import ENV
from openclaw_ocm.system.runner import SAFE_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openclaw_ocm.system.host import Host

# -I keeps the caller's directory and variables out of what is imported; the package lies at argv[1].
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from openclaw_ocm.cli.main import main; sys.exit(main())"
)
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def own_argv(host: Host, *words: str) -> tuple[str, ...]:
    """Return the command that is this ocm with the arguments `words`, for the same user and directories.

    From a checkout it goes through the launcher, which makes the environment that the checkout as it is then
    asks for; otherwise through the Python and the package that run now.
    """
    source = Path(openclaw_ocm.__file__).parents[1]
    launcher = source.parent / "ocm.py"
    if Path(sys.prefix).parent == Path(host.paths.ocm_data) and launcher.is_file():
        program: tuple[str, ...] = (sys.executable, "-I", str(launcher))
    else:
        program = (sys.executable, "-I", "-c", _MAIN, str(source))
    return (ENV, "-i", *_environment(host), *program, *words)


def module_argv(module: str, *words: str) -> tuple[str, ...]:
    """Return the command that runs a module of this package as a program of its own, now.

    Its environment is what the command is given.
    """
    source = Path(openclaw_ocm.__file__).parents[1]
    return (sys.executable, "-I", "-c", _RUN, str(source), module, *words)


def _environment(host: Host) -> Iterator[str]:
    """Yield what tells OCM where its user's things are; only what is not where it is by default."""
    yield from (f"HOME={host.paths.home}", f"PATH={SAFE_PATH}", "LANG=C.UTF-8")
    usual = host_paths(host.paths.home, {})
    for variable, path, default in (
        ("XDG_CONFIG_HOME", host.paths.config_home, usual.config_home),
        ("XDG_STATE_HOME", host.paths.state_home, usual.state_home),
        ("XDG_DATA_HOME", host.paths.data_home, usual.data_home),
        ("XDG_RUNTIME_DIR", str(host.runtime), f"/run/user/{host.uid}"),
    ):
        if path != default:
            yield f"{variable}={path}"
