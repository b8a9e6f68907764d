"""What could not start a program is told from a program that failed."""

from __future__ import annotations

import pytest

from openclaw_ocm.core.sandbox.obstacle import obstacle, setup_failure

# As printed by systemd-run 252 and 257, bwrap 0.8 and 0.11, coreutils 9 and perl 5.40.
SAID = [
    (1, "Failed to connect to user scope bus via local transport: No such file or directory"),
    (1, "Failed to connect to bus: No medium found"),
    (1, "Failed to start transient service unit: Unit ocm-session.t1.service already exists."),
    (1, "bwrap: Can't find source path /opt/node: No such file or directory"),
    (1, "bwrap: setting up uid map: Permission denied"),
    (1, "uplink: pasta: exit status 1"),
    (71, "tool host: the sandbox cannot be made"),
    (127, "/usr/bin/env: '/usr/bin/perl': No such file or directory"),
    (13, "the secrets cannot be read: Permission denied"),
]


@pytest.mark.parametrize(("status", "line"), SAID)
def test_what_started_a_program_tells_why_it_could_not(status: int, line: str) -> None:
    assert obstacle(status, f"before\n{line}\nafter\n") == line


@pytest.mark.parametrize(
    ("status", "word"),
    [
        *((203, "203/EXEC"), (226, "226/NAMESPACE"), (200, "200/CHDIR"), (244, "(244)")),
        *(
            (126, "may not be executed"),
            (127, "is not there"),
            (137, "SIGKILL"),
            (-9, "memory"),
            (139, "SIGSEGV"),
        ),
    ],
)
def test_an_exit_status_alone_tells_it(status: int, word: str) -> None:
    assert word in (obstacle(status, "") or "")


@pytest.mark.parametrize("status", [1, 2, 7, 78, 130])
def test_what_openclaw_itself_ends_with_is_no_obstacle(status: int) -> None:
    assert obstacle(status, "Config invalid: agents.defaults: Failed to connect to gateway\n") is None


def test_what_ended_well_met_no_obstacle_whatever_it_said() -> None:
    assert obstacle(0, "bwrap: as the instance wrote\n") is None


def test_what_is_told_obeys_no_terminal_and_has_an_end() -> None:
    told = obstacle(1, "bwrap: \x1b[31m" + "x" * 100_000)
    assert told is not None
    assert told.isprintable()
    assert len(told) < 5000


def test_only_statuses_of_systemd_are_of_a_setup() -> None:
    assert setup_failure(199) is None
    assert setup_failure(250) is None
