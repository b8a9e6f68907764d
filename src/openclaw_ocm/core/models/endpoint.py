"""Where a provider of main's own config lists its models, and with which key; who is asked in the clear."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.openclaw.document import as_object
from openclaw_ocm.core.openclaw.secret_places import expanded
from openclaw_ocm.core.text import printable, some_of
from openclaw_ocm.errors import OcmError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# Of those of OpenClaw 2026.9.6, the ones whose servers list models as OpenAI does, or as Ollama.
_APIS = ("openai-completions", "openai-responses", "ollama")
# RFC 1918, loopback, link-local, and their like of IPv6.
_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        (
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
            *("::1/128", "fe80::/10", "fc00::/7"),
        ),
    )
)
# RFC 9110: what a header may be called, and what may stand in one.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[\x20-\x7e]{1,4096}")
# A name that is no number in disguise, as `0x7f.1` is one.
_NAME = re.compile(r"(?i)(?:[a-z0-9_-]{1,63}\.)*[a-z](?:[a-z0-9-]{0,62})\.?")
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A provider as main's config has it; `urls` are tried in turn, `headers` have its key."""

    name: str
    base_url: str
    urls: tuple[str, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def keyed(self) -> bool:
        """Whether it is asked with a key."""
        return bool(self.headers)


def find_endpoint(
    name: str, config: Mapping[str, Any], variables: Mapping[str, str], known: Iterable[str]
) -> Endpoint:
    """Return the provider `name` of a config whose secrets are references to `variables`.

    Raises `OcmError` where the config has none of that name, with those that it has and those `known` to OCM;
    where it does not say where that is; and where it is none that lists models as OpenAI does.
    """
    providers = as_object(as_object(config.get("models")).get("providers"))
    found = next((key for key in providers if key.lower() == name.lower()), None)
    if found is None:
        message = f"main's config has no provider {printable(name)[:100]!r}"
        names = list(dict.fromkeys((*map(printable, providers), *known)))
        raise OcmError(message, hint=f"there are {some_of(names, _MOST_NAMED)}", code="provider_unknown")
    about = as_object(providers[found])
    api, address = about.get("api", _APIS[0]), about.get("baseUrl")
    if api not in _APIS:
        message = (
            f"{found} speaks {printable(str(api))[:100]}, by which no models are listed as OpenAI does it"
        )
        raise OcmError(message, hint="ocm model NAME lists what OpenClaw knows", code="models_unlisted")
    base_url = expanded(address, variables).rstrip("/") if isinstance(address, str) else ""
    if not base_url:
        message = f"main's config does not say where {found} is"
        hint = f"openclaw config set models.providers.{found}.baseUrl https://HOST/v1"
        raise OcmError(message, hint=hint, code="provider_unknown")
    # Whatever its case, a header is one: what the config writes out stands before that of the key.
    headers = dict({name.lower(): (name, value) for name, value in _headers(about, variables)}.values())
    return Endpoint(name=found, base_url=base_url, urls=tuple(_urls(base_url, str(api))), headers=headers)


def at_another_place(endpoint: Endpoint, url: str) -> Endpoint:
    """Return a provider whose list is at `url`: it is asked with its key where that is the same server."""
    same = _origin(url) == _origin(endpoint.base_url)
    return replace(endpoint, urls=(url,), headers=endpoint.headers if same else {})


def _origin(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].lower()
    usual = {"https": ":443", "http": ":80"}.get(scheme.lower(), "")
    return scheme.lower(), host.removesuffix(usual)


def _urls(base_url: str, api: str) -> Iterator[str]:
    """Yield where the list may be: beside the chats, below /v1, and where Ollama has its own."""
    root = base_url.removesuffix("/v1").rstrip("/")
    if api == "ollama":
        yield f"{root}/api/tags"
        return
    yield f"{base_url}/models"
    if base_url == root:
        yield f"{root}/v1/models"
    yield f"{root}/api/tags"


def _headers(about: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the headers with which OpenClaw would call the provider, as far as their values are known."""
    key = _value(about.get("apiKey"), variables)
    if key is not None:
        yield "Authorization", f"Bearer {key}"
    for name, text in as_object(about.get("headers")).items():
        value = _value(text, variables)
        if value is not None and _HEADER.fullmatch(name) and name.lower() not in ("host", "content-length"):
            yield name, value


def _value(value: object, variables: Mapping[str, str]) -> str | None:
    if isinstance(value, dict):
        text = variables.get(str(value.get("id")), "") if value.get("source") == "env" else ""
    else:
        # OpenClaw takes the bare name of a variable for a reference as well, be it the value of another.
        text = expanded(value, variables) if isinstance(value, str) else ""
        text = variables.get(text) or text
    return text if _VALUE.fullmatch(text) and "${" not in text else None


def is_name(host: str) -> bool:
    """Tell whether a host is a name, and no address in whatever spelling."""
    return _NAME.fullmatch(host) is not None


def is_private(address: str) -> bool:
    """Tell whether an IP address is one of a private network, or of this machine."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in _PRIVATE)


def is_loopback(address: str) -> bool:
    """Tell whether an IP address is one of this machine."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
