"""Entry point of `python -m openclaw_ocm` and of the console script."""

from __future__ import annotations

import sys

from openclaw_ocm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
