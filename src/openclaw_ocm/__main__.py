"""Entry point of `python -m openclaw_ocm`, of the console script and of the launcher."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line and return the exit code, whenever an interruption comes."""
    try:
        from openclaw_ocm.cli.main import main as run

        status = run()
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    # What was to be done is done, and told: what comes now would only change how the end looks.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return status


if __name__ == "__main__":
    sys.exit(main())
