"""The line that forwards the ports of gateways: pure."""

from __future__ import annotations

import shlex

import pytest

from openclaw_ocm.core.tunnel import Server, line, parse_connection


@pytest.mark.parametrize(
    ("connection", "server"),
    [
        ("198.51.100.7 50514 203.0.113.5 22", Server("203.0.113.5", 22)),
        ("198.51.100.7 50514 203.0.113.5 2222", Server("203.0.113.5", 2222)),
        ("2001:db8::7 50514 2001:db8::5 22", Server("2001:db8::5", 22)),
        ("::ffff:198.51.100.7 50514 ::ffff:203.0.113.5 22", Server("203.0.113.5", 22)),
        # By way of something else here: it is reached under another address.
        ("127.0.0.1 50514 127.0.0.1 22", None),
        ("::1 50514 ::1 22", None),
        ("fe80::7%eth0 50514 fe80::5%eth0 22", None),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
        ("", None),
        ("198.51.100.7 50514 203.0.113.5", None),
        ("198.51.100.7 50514 203.0.113.5 22 more", None),
        ("198.51.100.7 50514 $(reboot) 22", None),
        ("198.51.100.7 50514 203.0.113.5 -oProxyCommand=x", None),
    ],
)
def test_a_server_is_where_the_connection_came_to(connection: str, server: Server | None) -> None:
    assert parse_connection(connection) == server


def test_one_line_forwards_all_ports_to_the_same_ones_here() -> None:
    typed = line((19001, 19021), "ann", Server("203.0.113.5"))
    assert typed == (
        "ssh -N -L 19001:127.0.0.1:19001 -L 19021:127.0.0.1:19021 -o ExitOnForwardFailure=yes ann@203.0.113.5"
    )


def test_another_port_of_the_server_is_named() -> None:
    assert line((1,), "ann", Server("2001:db8::5", 2222)).endswith(" -p 2222 ann@2001:db8::5")


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    typed = line((1,), "an n;x", Server("203.0.113.5"))
    assert shlex.split(typed)[-1] == "an n;x@203.0.113.5"
