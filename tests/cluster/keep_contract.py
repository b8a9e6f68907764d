"""Holds Kubernetes to the contract of backends: `python -m tests.cluster.keep_contract CHECK...`.

Runs in the network of a cluster, of which the environment tells (home.py). Prints for each check a line of
JSON: its name, what was wrong, null where nothing was, and the seconds that it took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.backends.contract import CHECKS, of_this_run, other_of
from tests.backends.keep_contract import what_is_wrong
from tests.cluster.home import PodHome, destroy, make_home


def main(names: list[str]) -> int:
    for check in CHECKS:
        if check.__name__ in names:
            began = time.monotonic()
            wrong = what_is_wrong(check, make_home(Path.home()), clear)
            print(json.dumps([check.__name__, wrong, round(time.monotonic() - began, 1)]), flush=True)
    return 0


def clear(home: PodHome) -> None:
    destroy(home, [of_this_run(home, "one"), other_of(home)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
