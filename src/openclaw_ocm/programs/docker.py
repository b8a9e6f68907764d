#!/usr/bin/python3 -IS
"""The docker(1) of a sandbox: hands each call to the instance's tool host, with the standard streams."""

# Started for every tool call, several times: so it imports next to nothing and leaves the thinking to the host.
import _socket
import os
import sys

PATH = "/tmp/.ocm-tool-host"  # noqa: S108 - the sandbox's own /tmp
MOST_BYTES = 2**20


def env_files(words):
    """Return the texts of the files that --env-file names, in their order."""
    found = []
    for number, word in enumerate(words[:-1]):
        if word == "--env-file":
            handle = os.open(words[number + 1], os.O_RDONLY)
            found.append(os.read(handle, MOST_BYTES))
            os.close(handle)
    return found


def ask(words):
    """Return exit status, output and errors of a call."""
    files = env_files(words)
    parts = [b"ocm1", b"%d" % len(words), *map(os.fsencode, words), *files]
    data = b"\0".join(parts)
    data = len(data).to_bytes(4, "big") + data
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(PATH)
    streams = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join(n.to_bytes(4, sys.byteorder) for n in range(3)))]
    sent = connection.sendmsg([data], streams if words[:1] == ["exec"] else [])
    if sent < len(data):
        connection.sendall(data[sent:])
    answer = b""
    while part := connection.recv(2**16):
        answer += part
    return answer.split(b"\0")


def main():
    """Do as docker does."""
    try:
        answer = ask(sys.argv[1:])
    except OSError as error:
        # OpenClaw knows docker's own words for it.
        os.write(2, f"Cannot connect to the Docker daemon at {PATH}: {error.strerror}\n".encode())
        os._exit(1)
    if len(answer) != 3:  # noqa: PLR2004 - exit status, output and errors
        os._exit(137)
    for handle, text in ((1, answer[1]), (2, answer[2])):
        while text:
            text = text[os.write(handle, text) :]
    os._exit(int(answer[0]))


main()
