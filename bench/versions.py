"""Measures the disk of versions as `ocm runtime install` lays them, beside `npm install` of each, in one run.

PYTHONPATH=src python3 -m bench.versions [--versions VERSION...] [--json]. It boots no machine: it installs
into two homes of its own, from npm's registry, and takes 6 GB of TMPDIR. It knows no thresholds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("2026.8.2", "2026.9.3", "2026.9.4", "2026.9.5", "2026.9.6")
INSTALL = ("install", "--global", "--no-audit", "--no-fund", "--loglevel", "error")
_SOURCE = Path(__file__).parents[1] / "src"
_BLOCK = 512
_SECONDS = 3600


def main() -> int:
    made = argparse.ArgumentParser(prog="python3 -m bench.versions", description=__doc__.partition("\n")[0])
    made.add_argument(
        "--versions", nargs="+", default=VERSIONS, help=f"which (default: {', '.join(VERSIONS)})"
    )
    made.add_argument("--json", action="store_true", help="print every sample")
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocm-bench-") as folder:
        ours, theirs = Path(folder, "ocm"), Path(folder, "npm")
        runtimes = ours / ".local/share/ocm/runtimes"
        found: dict[str, list[int]] = {"ocm": [], "npm": []}
        for version in options.versions:
            # The Node that this brings is npm's as well: both lay the same package with the same npm.
            run(ours, sys.executable, "-m", "openclaw_ocm", "runtime", "install", version)
            found["ocm"].append(disk(runtimes))
            (node,) = (ours / ".local/share/ocm").glob("node-*")
            argv = (str(node / "bin/node"), str(node / "lib/node_modules/npm/bin/npm-cli.js"))
            run(theirs, *argv, *INSTALL, "--prefix", str(theirs / version), f"openclaw@{version}")
            found["npm"].append(sum(disk(theirs / one) for one in options.versions))
            print(
                f"bench: {version}: {found['ocm'][-1]} and {found['npm'][-1]} bytes",
                file=sys.stderr,
                flush=True,
            )
    if options.json:
        print(json.dumps({"versions": list(options.versions), "bytes": found}))
        return 0
    print("disk, MB".ljust(30), *(cell.rjust(10) for cell in ("OCM", "npm", "ratio")))
    for count, (ocm, npm) in enumerate(zip(found["ocm"], found["npm"], strict=True), start=1):
        cells = (f"{ocm / 1e6:.0f}", f"{npm / 1e6:.0f}", f"{ocm / npm:.2f}")
        print(f"{count} versions".ljust(30), *(cell.rjust(10) for cell in cells))
    return 0


def run(home: Path, *argv: str) -> None:
    """Run a program of a user whose home this is."""
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    path = os.pathsep.join((str(Path(argv[0]).parent), "/usr/bin", "/bin"))
    subprocess.run(
        argv,
        check=True,
        timeout=_SECONDS,
        cwd=home,
        env={**kept, "HOME": str(home), "PATH": path, "PYTHONPATH": str(_SOURCE)},
    )


def disk(directory: Path) -> int:
    """Return the bytes on the disk that are below a directory, each file once whatever names it has."""
    seen: dict[tuple[int, int], int] = {}
    for parent, folders, names in os.walk(directory):
        for name in (*folders, *names):
            found = Path(parent, name).lstat()
            seen[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    return sum(seen.values())


if __name__ == "__main__":
    sys.exit(main())
