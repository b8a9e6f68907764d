"""Holds Kubernetes to the contract of backends: `python -m tests.cluster.keep_contract CHECK...`.

Runs in the network of a cluster, of which the environment tells (home.py). Prints for each check a line of
JSON: its name, what was wrong, null where nothing was, and the seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.backends.contract import CHECKS, of_this_run, other_of
from tests.cluster.home import destroy, make_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.backends.home import Home

    from openclaw_ocm.backends.protocol import Backend


def main(names: list[str]) -> int:
    for check in CHECKS:
        if check.__name__ in names:
            began = time.monotonic()
            wrong = what_is_wrong(check)
            print(json.dumps([check.__name__, wrong, round(time.monotonic() - began, 1)]), flush=True)
    return 0


def what_is_wrong(check: Callable[[Home[Backend]], None]) -> str | None:
    home = make_home(Path.home())
    try:
        check(home)
    except Exception:  # noqa: BLE001 - whatever it is, it is told, and the next check is run
        return traceback.format_exc()
    finally:
        destroy(home, [of_this_run(home, "one"), other_of(home)])
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
