"""Which changes of its config a running gateway takes up without a restart."""

from __future__ import annotations

# The longest matching prefix decides (dist/config-reload-plan of OpenClaw 2026.9.6); a path without a
# rule restarts the gateway. Rules of plugins are not listed: they only ever make a change live.
_RELOAD_RULES: tuple[tuple[str, bool], ...] = (
    *((prefix, False) for prefix in ("gateway", "discovery", "secrets.egressProxy", "mcp.apps")),
    *(
        (prefix, True)
        for prefix in (
            *("meta", "identity", "wizard", "logging", "agents", "bindings", "audio", "agent", "routing"),
            *("messages", "session", "talk", "skills", "secrets", "tui", "ui", "tools", "approvals.exec"),
            *("approvals.plugin", "auth.order", "auth.profiles", "broadcast", "memory.citations"),
            *("worktreeRoot", "worktreeAcceleration", "security.audit.suppressions", "transcripts"),
            *("security.installPolicy", "diagnostics.enabled", "diagnostics.flags", "acp", "hooks", "cron"),
            *("diagnostics.cacheTrace.enabled", "attachments.ttlHours", "update.checkOnStart", "commands"),
            *("update.channel", "update.auto.enabled", "telemetry.enabled", "telemetry.consentedAt"),
            *("plugins", "channels", "models", "mcp", "tts", "surfaces", "accessGroups", "cloudWorkers"),
            *("desktop.host", "discovery.mdns.mode", "gateway.remote", "gateway.reload", "gateway.tools"),
            *("gateway.terminal", "gateway.roles", "gateway.trustedProxies", "gateway.controlUi.enabled"),
            *("gateway.controlUi.allowedOrigins", "gateway.auth.rateLimit", "gateway.publicOrigin"),
            *("gateway.http.endpoints", "gateway.cliAgents", "gateway.nodes.browser"),
            *("gateway.nodes.pairing", "gateway.nodes.commands", "gateway.auth.allowTailscale"),
        )
    ),
)


def is_live(key: str) -> bool:
    """Tell whether a running gateway takes up a change of `key` without a restart."""
    matching = [rule for rule in _RELOAD_RULES if key == rule[0] or key.startswith(rule[0] + ".")]
    return max(matching, key=lambda rule: len(rule[0]))[1] if matching else False
