"""Starts a gateway, waits until it is ready, and has it end: so Node keeps what it compiled of OpenClaw.

Arguments: the seconds that it may take, its port, and its command. Ends with 0 where all that came to be.
"""

from __future__ import annotations

import signal
import subprocess  # noqa: TID251 - it runs in a sandbox without the package
import sys
import time
import urllib.error
import urllib.request

_POLL_SECONDS = 0.2


def main() -> int:
    """Return 0 once the gateway was ready and has ended as it was asked to."""
    seconds, port, argv = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    until = time.monotonic() + seconds
    with subprocess.Popen(argv) as gateway:
        try:
            while not is_ready(port):
                if gateway.poll() is not None or time.monotonic() > until:
                    return 1
                time.sleep(_POLL_SECONDS)
            gateway.send_signal(signal.SIGTERM)
            return gateway.wait(max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            return 1
        finally:
            gateway.kill()


def is_ready(port: int) -> bool:
    """Tell whether the gateway on a port of the loopback says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return b'"ready":true' in answer.read(4096)
    except (OSError, urllib.error.URLError):
        return False


if __name__ == "__main__":
    sys.exit(main())
