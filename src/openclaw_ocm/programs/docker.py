#!/usr/bin/python3 -IS
"""The docker(1) of a sandbox: hands each call to the instance's tool host, with the standard streams.

It is started several times for each tool call: so it imports next to nothing, and leaves the thinking to the
tool host.
"""

from __future__ import annotations

import _socket
import os
import sys

PATH = "/tmp/.ocm-tool-host"  # noqa: S108 - the sandbox's own /tmp
SANDBOX = "0c" * 32  # the id under which the tool host speaks of the sandbox itself
MOST_BYTES = 2**20
# What no value follows: each other option of a call has one.
FLAGS = frozenset({"-i", "--interactive", "-t", "--tty", "-it", "-ti", "--init", "--read-only"})
NOT_A_CALL, KILLED, INTERRUPTED, NOT_FOUND = 125, 137, 130, 127


def env_files(words: list[str]) -> list[bytes]:
    """Return the texts of the files that --env-file names, in their order.

    What follows the name of a box or image is not for docker. Raises `OSError` for a file that cannot be
    read, and `ValueError` for one that no environment can come from.
    """
    found = []
    rest = words[:0:-1] if words[:1] in (["exec"], ["create"]) else []
    while rest and rest[-1].startswith("-"):
        option, equals, path = rest.pop().partition("=")
        if not equals and option not in FLAGS and rest:
            path = rest.pop()
        if option == "--env-file":
            with open(path, "rb", buffering=0) as file:
                text = file.readall()
            if len(text) > MOST_BYTES or b"\0" in text:
                raise ValueError(f"--env-file {path}: too long, or no text")
            found.append(text)
    return found


def ask(words: list[str], files: list[bytes]) -> list[bytes]:
    """Return exit status, output and errors of a call, with which these files go."""
    parts = [b"ocm1", b"%d" % len(words), *map(os.fsencode, words), *files]
    data = b"\0".join(parts)
    data = len(data).to_bytes(4, "big") + data
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(PATH)
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    passed = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)] if words[:1] == ["exec"] else []
    sent = connection.sendmsg([data], passed)
    if sent < len(data):
        connection.sendall(data[sent:])
    answer = b""
    while part := connection.recv(2**16):
        answer += part
    return answer.split(b"\0")


def write(handle: int, text: bytes) -> None:
    """Write all of a text."""
    while text:
        text = text[os.write(handle, text) :]


def run(argv: list[str]) -> int:
    """Become a program; return the status of a shell where that fails."""
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        write(2, f"{argv[0]}: {error.strerror}\n".encode())
    return NOT_FOUND


def main() -> int:
    """Do as docker does, and return its exit status."""
    words = sys.argv[1:]
    if words[:2] == ["exec", SANDBOX] and words[2:]:
        # Who asks is in it already.
        return run(words[2:])
    try:
        files = env_files(words)
    except (OSError, ValueError) as error:
        write(2, f"docker: {error}\n".encode(errors="surrogateescape"))
        return NOT_A_CALL
    try:
        answer = ask(words, files)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # OpenClaw knows docker's own words for it.
        write(2, f"Cannot connect to the Docker daemon at {PATH}: {error.strerror}\n".encode())
        return 1
    if len(answer) != 3:  # noqa: PLR2004 - exit status, output and errors
        return KILLED
    write(1, answer[1])
    write(2, answer[2])
    return int(answer[0])


if __name__ == "__main__":
    os._exit(main())
