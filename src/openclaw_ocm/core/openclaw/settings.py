"""What OCM puts into an instance's OpenClaw config, and how it tells that this was weakened since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object, lookup, with_value
from openclaw_ocm.core.ports import window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openclaw_ocm.core.paths import InstancePaths

LOOPBACK = "loopback"
# All addresses of IPv4: OpenClaw knows no bind to a network, so who gets through is the firewall's to say.
LAN = "lan"
BIND = "gateway.bind"
_ORIGINS = "gateway.controlUi.allowedOrigins"
# How a gateway may be told who is let in, where others than this machine reach it.
_SHARED_SECRETS = ("token", "password")


def initial_config(
    paths: InstancePaths, *, port: int, cdp_port: int, token: str, model: str | None
) -> dict[str, Any]:
    """Return the OpenClaw config of a new instance (keys as of OpenClaw 2026.9.6).

    `token` is the gateway's secret; the result therefore goes into the instance's own 0600 file and
    nowhere else.
    """
    defaults: dict[str, Any] = {
        "workspace": str(paths.workspace),
        "sandbox": {
            "mode": "non-main",
            "scope": "agent",
            "workspaceAccess": "rw",
            # With scope "shared" OpenClaw names the container alike for every instance of a host.
            "docker": {"containerPrefix": f"openclaw-sbx-{paths.name}-"},
        },
    }
    if model is not None:
        defaults["model"] = {"primary": model}
    return {
        "gateway": {
            "mode": "local",
            "bind": LOOPBACK,
            "port": port,
            "auth": {"mode": "token", "token": token},
        },
        "agents": {"defaults": defaults},
        "session": {"dmScope": "per-channel-peer"},
        "browser": {"profiles": {"openclaw": {"cdpPort": cdp_port}}},
        "discovery": {"mdns": {"mode": "off"}},
        "update": {"checkOnStart": False, "auto": {"enabled": False}},
        "logging": {"file": str(paths.log)},
    }


def on_port(config: dict[str, Any], *, before: int, after: int) -> dict[str, Any]:
    """Return a config whose gateway and browser are on the window of ports `after`, no more on `before`.

    The origins from which the control page is let in follow where they name the old port.
    """
    changed = with_value(config, "gateway.port", after)
    profiles = as_object(lookup(config, "browser.profiles"))
    moved = {name: _moved_profile(profile, before, after) for name, profile in profiles.items()}
    changed = with_value(changed, "browser.profiles", moved) if moved != profiles else changed
    origins = lookup(config, _ORIGINS)
    followed = [_moved_origin(one, before, after) for one in origins] if isinstance(origins, list) else None
    return with_value(changed, _ORIGINS, followed) if followed not in (None, origins) else changed


def _moved_profile(profile: object, before: int, after: int) -> object:
    number = as_object(profile).get("cdpPort")
    if not isinstance(number, int) or number not in window(before):
        return profile
    return {**as_object(profile), "cdpPort": number - before + after}


def _moved_origin(origin: object, before: int, after: int) -> object:
    if not isinstance(origin, str) or not origin.endswith(f":{before}"):
        return origin
    return f"{origin.removesuffix(f':{before}')}:{after}"


def wanted_bind(expose: tuple[str, ...]) -> str:
    """Return the `gateway.bind` of an instance that is exposed to these networks, or to none."""
    return LAN if expose else LOOPBACK


def variables_in(config: Mapping[str, Any]) -> set[str]:
    """Return the names under which a config may set variables."""
    env = as_object(config.get("env"))
    return {*env, *as_object(env.get("vars"))}


def provider_addresses(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses that a config names for its providers."""
    for provider in as_object(as_object(config.get("models")).get("providers")).values():
        address = as_object(provider).get("baseUrl")
        if isinstance(address, str):
            yield address


def proxy_address(config: Mapping[str, Any]) -> str | None:
    """Return the proxy through which a gateway with this config goes, None where it goes through none.

    As OpenClaw 2026.9.6 has it (docs/security/network-proxy).
    """
    proxy = as_object(config.get("proxy"))
    address = proxy.get("proxyUrl")
    return address if isinstance(address, str) and address and proxy.get("enabled") is not False else None


def proxy_certificates(config: Mapping[str, Any]) -> str | None:
    """Return the file of certificates by which that proxy is trusted, None where there is none."""
    path = lookup(config, "proxy.tls.caFile")
    return path if isinstance(path, str) and path else None


def unfit_to_expose(config: Mapping[str, Any]) -> str | None:
    """Return why OpenClaw 2026.9.6 would not start beyond the loopback with this config, None where it would.

    OCM takes the shared secrets alone: behind `trusted-proxy` it could not tell who is let in.
    """
    mode = lookup(config, "gateway.auth.mode")
    if mode not in _SHARED_SECRETS:
        return f"gateway.auth.mode is {_shown(mode)}, and has to be token or password"
    if not lookup(config, f"gateway.auth.{mode}"):
        return f"gateway.auth.{mode} is empty"
    tailscale = lookup(config, "gateway.tailscale.mode")
    if tailscale not in ("off", None):
        return f"gateway.tailscale.mode is {_shown(tailscale)}, and has to be off"
    return None


def unstartable(config: Mapping[str, Any]) -> str | None:
    """Return why a gateway does not start with what the schema allows, None where it does.

    With these OpenClaw 2026.9.6 ends with exit status 78.
    """
    if lookup(config, "gateway.mode") != "local":
        return "starts with gateway.mode local and no other"
    exposed = lookup(config, BIND) != LOOPBACK
    if exposed and lookup(config, "gateway.auth.mode") not in _SHARED_SECRETS:
        return "does not start beyond the loopback without authentication"
    return None


def weakened(config: Mapping[str, Any], *, port: int, expose: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what of the config no longer holds what OCM wrote to keep the instance closed.

    `expose` is that of the record. The config is the instance's own to write, so this is a report and no
    protection: the sandbox does not depend on it.
    """
    return (*_open_bind(config, expose), *_open_gateway(config, port), *_open_sessions(config))


def _open_bind(config: Mapping[str, Any], expose: tuple[str, ...]) -> Iterator[str]:
    bind, wanted = lookup(config, BIND), wanted_bind(expose)
    if bind == wanted:
        return
    if expose:
        yield f"gateway.bind is {_shown(bind)}, was {wanted}, for the instance is exposed"
    else:
        yield f"gateway.bind is {_shown(bind)}, was {wanted}: other machines may reach the gateway"


def _open_gateway(config: Mapping[str, Any], port: int) -> Iterator[str]:
    if lookup(config, "gateway.port") != port:
        yield f"gateway.port is {_shown(lookup(config, 'gateway.port'))}, the record says {port}"
    mode = lookup(config, "gateway.auth.mode")
    if mode not in _SHARED_SECRETS:
        yield f"gateway.auth.mode is {_shown(mode)}, was token: the gateway may answer anyone"
    if mode == "token" and not lookup(config, "gateway.auth.token"):
        yield "gateway.auth.token is empty"
    if lookup(config, "gateway.tailscale.mode") not in ("off", None):
        yield "gateway.tailscale.mode is no longer off: the gateway is reached from outside this machine"
    if lookup(config, "discovery.mdns.mode") not in ("off", None):
        yield "discovery.mdns.mode is no longer off: the gateway announces itself on the network"


def _open_sessions(config: Mapping[str, Any]) -> Iterator[str]:
    if lookup(config, "agents.defaults.sandbox.mode") not in ("non-main", "all"):
        yield "agents.defaults.sandbox.mode was non-main: sessions of strangers run without a sandbox"
    entries = lookup(config, "agents.entries")
    for agent, entry in entries.items() if isinstance(entries, dict) else ():
        if isinstance(entry, dict) and lookup(entry, "sandbox.mode") == "off":
            yield f"agents.entries.{_shown(agent)}.sandbox.mode is off: its sessions run without a sandbox"
    if lookup(config, "session.dmScope") == "main":
        yield "session.dmScope is main: everyone who writes to the agent shares one session"


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)[:60] if isinstance(value, (str, int)) else "not a value"
