"""Holds a backend of this machine to the contract: `python -m tests.backends.keep_contract NAME`.

Prints for each check a line of JSON: its name and what was wrong, null where nothing was. Needs nothing but
what OCM itself needs.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from tests.backends.contract import CHECKS, of_this_run, other_of
from tests.backends.home import make_home

from openclaw_ocm.core.purpose import Purpose
from openclaw_ocm.system import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.backends.home import Home

    from openclaw_ocm.backends.protocol import Backend


H = TypeVar("H", bound="Home[Backend]")


def main(name: str) -> int:
    # Its units are among the user's.
    environ = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", "XDG_CONFIG_HOME": str(Path.home() / ".config")}
    for check in CHECKS:
        wrong = what_is_wrong(check, make_home(name, Path.home(), environ), clear)
        print(json.dumps([check.__name__, wrong]), flush=True)
    return 0


def what_is_wrong(check: Callable[[Home[Backend]], None], home: H, clear: Callable[[H], None]) -> str | None:
    """Run a check in a home of its own, which is cleared afterwards, and return what it found."""
    try:
        check(home)
    except Exception:  # noqa: BLE001 - whatever it is, it is told, and the next check is run
        return traceback.format_exc()
    finally:
        clear(home)
    return None


def clear(home: Home[Backend]) -> None:
    names = [of_this_run(home, "one"), other_of(home)]
    home.backend.stop_sessions(names)
    for purpose in Purpose:
        home.backend.timers(purpose).clear(names)
    home.backend.stop(names)
    home.backend.disable(names)
    home.backend.remove(names)
    for name in names:
        files.remove_file(home.host.instance(name).secrets)
    files.remove_file(home.host.paths.settings)
    files.remove_tree(PurePosixPath(home.home))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
