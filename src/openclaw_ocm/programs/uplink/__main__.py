"""The start of the archive, in which the package bears its last name alone."""

from __future__ import annotations

import sys

from uplink.main import main  # type: ignore[import-not-found]

main(sys.argv[1:])
