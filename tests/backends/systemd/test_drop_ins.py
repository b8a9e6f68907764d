from __future__ import annotations

import pytest

from openclaw_ocm.backends.systemd.drop_ins import forbidden_settings


def test_drop_ins_may_set_limits_and_order() -> None:
    limits = "MemoryMax=2G\nCPUQuota=50%\nNice=5\nRestartSec=9\nLimitNOFILE=9\n"
    assert forbidden_settings(f"[Unit]\nAfter=x\n# Foo=1\n[Service]\n{limits}") == ()


@pytest.mark.parametrize(
    "setting",
    [
        "PrivateUsers=no",
        "BindPaths=/",
        "SystemCallFilter=",
        "RestrictNamespaces=no",
        "ExecStartPre=/bin/true",
        "OpenFile=/x",
        "StandardOutput=append:/x",
        "LimitCORE=infinity",
        "Delegate=yes",
        " KeyringMode = shared",
        "JoinsNamespaceOf=x.service",
        "BindReadOnlyPaths=\\",
    ],
)
def test_drop_ins_may_not_set_what_the_sandbox_is_made_of(setting: str) -> None:
    assert forbidden_settings(f"[Service]\n{setting}\n") == (setting.partition("=")[0].strip(),)
