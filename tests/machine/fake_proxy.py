"""A fake proxy of a company for tests: it leads who asks by CONNECT to any host, and writes down which.

Stdlib only; knows nothing of OCM. argv: the address and the port to listen on, and the file to write to.
"""

from __future__ import annotations

import select
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE_SECONDS = 60
CHUNK = 2**16


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log = Path("/dev/null")

    def do_CONNECT(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.path}\n")
        host, _, port = self.path.rpartition(":")
        try:
            server = socket.create_connection((host, int(port)), PATIENCE_SECONDS)
        except OSError:
            self.send_error(502)
            return
        with server:
            self.send_response(200)
            self.end_headers()
            self.pass_on(server)
        self.close_connection = True

    def pass_on(self, server: socket.socket) -> None:
        ends = {self.connection: server, server: self.connection}
        while ready := select.select([*ends], [], [], PATIENCE_SECONDS)[0]:
            for one in ready:
                data = one.recv(CHUNK)
                if not data:
                    return
                ends[one].sendall(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        """Silence the per-request line on stderr."""


def main() -> None:
    address, port, log = sys.argv[1:]
    Proxy.log = Path(log)
    Proxy.log.touch()
    server = ThreadingHTTPServer((address, int(port)), Proxy)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
