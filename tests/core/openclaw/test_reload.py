from __future__ import annotations

import pytest

from openclaw_ocm.core.openclaw.reload import is_live


# Rules of OpenClaw 2026.9.6 as reference/openclaw.md documents them.
@pytest.mark.parametrize(
    "key",
    [
        *("agents.defaults.model", "agents.defaults.sandbox.mode", "models.providers.fake", "auth.profiles"),
        *("channels.telegram.enabled", "session.dmScope", "messages.ackReaction", "tools.allow", "skills"),
        *(
            "plugins.entries.x.enabled",
            "cron.enabled",
            "hooks.enabled",
            "logging.level",
            "gateway.tools.deny",
        ),
        *("gateway.nodes.browser.mode", "gateway.terminal.enabled", "gateway.controlUi.enabled"),
        *("discovery.mdns.mode", "update.channel", "update.checkOnStart", "mcp.servers.x"),
    ],
)
def test_a_key_that_openclaw_reloads_is_live(key: str) -> None:
    assert is_live(key)


@pytest.mark.parametrize(
    "key",
    [
        *(
            "gateway",
            "gateway.port",
            "gateway.bind",
            "gateway.auth",
            "gateway.auth.mode",
            "gateway.tailscale",
        ),
        *("gateway.tls.enabled", "gateway.controlUi.basePath", "discovery", "discovery.wideArea.enabled"),
        *("browser.profiles.openclaw.cdpPort", "mcp.apps.port", "secrets.egressProxy.enabled"),
        *("unknown", "unknown.key", "env.vars.A", "gateway.toolsX", "agentsX", "discovery.mdns"),
    ],
)
def test_a_key_that_openclaw_does_not_reload_or_has_no_rule_for_needs_a_restart(key: str) -> None:
    assert not is_live(key)
