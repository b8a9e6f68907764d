"""Removes a file after some seconds: `remove_later.py FILE SECONDS`. It outlives who started it."""

import contextlib
import os
import sys
import time

time.sleep(float(sys.argv[2]))
with contextlib.suppress(FileNotFoundError):
    os.unlink(sys.argv[1])
