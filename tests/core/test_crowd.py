from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openclaw_ocm.core.crowd import IDLE_BYTES, TaskLimit, few_tasks, little_memory

if TYPE_CHECKING:
    from openclaw_ocm.core.needs import Lacking

SLICE = TaskLimit("/user.slice/user-1000.slice", 10813)


def few(gateways: int, *limits: TaskLimit) -> Lacking | None:
    return few_tasks(limits, gateways, user="ann", root="sudo ")


def test_what_debian_gives_a_user_is_enough_for_a_hundred_gateways_and_not_for_a_thousand() -> None:
    assert few(100, SLICE) is None
    assert few(100) is None, "where nobody tells nothing is said"
    lacking = few(1000, SLICE)
    assert lacking is not None
    assert lacking.why == "10813 tasks are few for 1000 gateways (/user.slice/user-1000.slice)"


@pytest.mark.parametrize(
    ("place", "mend"),
    [
        ("/user.slice/user-1000.slice", "sudo systemctl set-property user-1000.slice TasksMax=4352"),
        (
            "/a.slice/user@1.service",
            "sudo systemctl set-property user@1.service TasksMax=4352",
        ),
        ("kernel.pid_max", "sudo sysctl -w kernel.pid_max=4352 (a file in /etc/sysctl.d keeps it)"),
        ("nproc", "let ann have nproc 4352 in /etc/security/limits.conf, and boot"),
        ("/", "have whoever runs this machine allow 4352 tasks"),
        ("/lxc/box", "have whoever runs this machine allow 4352 tasks"),
    ],
)
def test_the_tightest_of_all_is_told_with_what_lifts_it(place: str, mend: str) -> None:
    lacking = few(30, TaskLimit(place, 500), SLICE)
    assert lacking is not None
    assert place in lacking.why
    assert lacking.mend == mend


def test_so_many_gateways_fit_as_idle_ones_find_memory() -> None:
    assert little_memory(12 * IDLE_BYTES, 12) is None
    assert little_memory(None, 1000) is None
    lacking = little_memory(12 * IDLE_BYTES - 1, 30)
    assert lacking is not None
    assert lacking.why == "7.8 GB of memory and swap are little for 30 gateways: idle they take 19.5 GB"
