"""Listens on the port that is its argument, at every address, and takes and leaves whoever comes."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """Listen until somebody ends it."""
    family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    dual = family == socket.AF_INET6
    with socket.create_server(("", int(sys.argv[1])), family=family, dualstack_ipv6=dual) as end:
        while True:
            end.accept()[0].close()


if __name__ == "__main__":
    main()
