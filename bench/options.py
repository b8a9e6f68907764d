"""What the command line of each bench has."""

from __future__ import annotations

import argparse

from tests.machine.image import RELEASES


def parser(program: str, document: str | None, *, rounds: int, each: str) -> argparse.ArgumentParser:
    """Return the parser of the bench `program`, which measures `rounds` of `each` unless it is told."""
    about = (document or "").partition("\n")[0]
    made = argparse.ArgumentParser(prog=f"python3 -m {program}", description=about)
    made.add_argument("--release", choices=RELEASES, default="trixie")
    made.add_argument("--rounds", type=int, default=rounds, help=f"{each} (default: {rounds})")
    made.add_argument("--json", action="store_true", help="print every sample")
    return made
