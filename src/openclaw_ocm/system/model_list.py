"""Downloads model lists: TLS verified, and every amount bounded whatever the server does."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from openclaw_ocm import __version__
from openclaw_ocm.core.models.endpoint import is_loopback
from openclaw_ocm.core.models.listing import Page, parse_page
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError
from openclaw_ocm.system.in_the_clear import private_address
from openclaw_ocm.system.in_time import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError
    from urllib3.util import Url

    from openclaw_ocm.core.models.endpoint import Endpoint

MAX_BYTES = 8 * 2**20
MAX_PAGES = 50
MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 20.0
_ALL_SECONDS = 90.0
_CHUNK = 65536
_OK = 200
_NOT_THERE, _REFUSALS = (404, 405), (401, 403)
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "Accept": "application/json",
    # What is compressed could unfold to any size.
    "Accept-Encoding": "identity",
    "User-Agent": f"ocm/{__version__}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """Whom the pages of a list are asked of, and with which headers of its own.

    `pinned` is the address of one that is asked in the clear: its name is looked up once, so that it cannot
    lead elsewhere in the next moment.
    """

    address: Url
    pinned: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def at(self, address: Url) -> _Server:
        """Return the same server at another address of it."""
        return replace(self, address=address)


def download(url: str, report: Callable[[str], None], *, seconds: float = _ALL_SECONDS) -> Page:
    """Return the rows of the list at `url`, those of its further pages too.

    The URL is https, or http where the server is in a private network or on this machine; any other raises
    `Invalid`. Proxies are those of the environment. Raises `OcmError` where the server cannot be reached or
    is not trusted, where it sends something else than a list, more than OCM takes, or not all of it within
    `seconds`.
    """
    return _within(seconds, lambda: _first_list((_server(url, {}),), report))


def download_from(
    endpoint: Endpoint, report: Callable[[str], None], *, seconds: float = _ALL_SECONDS
) -> tuple[Page, tuple[str, ...]]:
    """Return the list of a provider of main's config, at the first of its URLs that there is; and warnings.

    Its key goes to the server that the URL names and to no other. Raises as `download` does, and where the
    server refuses the key.
    """
    servers: list[_Server] = []

    def work() -> Page:
        servers.extend(_server(url, endpoint.headers) for url in endpoint.urls)
        return _first_list(servers, report)

    try:
        page = _within(seconds, work)
    except OcmError as error:
        if error.code == "provider_refuses" and not endpoint.keyed:
            hint = f"OCM found none for {endpoint.name} in main's config, variables and store"
            raise OcmError(error.message, hint=hint, code=error.code) from None
        raise
    return page, tuple(_warnings(servers[0]))


def _warnings(server: _Server) -> Iterator[str]:
    if server.pinned is not None and not is_loopback(server.pinned):
        what = "its key and its list" if server.headers else "its list"
        where = printable(server.address.netloc or "")
        yield f"{where} is asked by plain http: {what} can be read and changed by who is in that network"


def _server(url: str, headers: Mapping[str, str]) -> _Server:
    """Return whom a URL names; raise `Invalid` where it is none that a list is read from."""
    address = _parse(url)
    if address is not None and address.scheme == "https":
        return _Server(address=address, headers=headers)
    pinned = _private_address(address) if address is not None and address.scheme == "http" else None
    if address is None or pinned is None:
        message = f"{_shown(url)} is no URL that a list is read from"
        where = "http:// where the server is on this machine or in a private network"
        hint = f"write https://HOST/v1/models without a user name, or {where}"
        raise Invalid(message, hint=hint, code="url_invalid")
    return _Server(address=address, pinned=pinned, headers=headers)


def _private_address(address: Url) -> str | None:
    with contextlib.suppress(OSError, UnicodeError):
        return private_address((address.host or "").strip("[]"), address.port or 80)
    return None


def _first_list(servers: Sequence[_Server], report: Callable[[str], None]) -> Page:
    """Return the first list that is there; the last address is taken for the right one."""
    for server in servers[:-1]:
        page = _read_pages(server, report, optional=True)
        if page is not None:
            return page
    page = _read_pages(servers[-1], report)
    return page if page is not None else Page(rows=())


def _within(seconds: float, work: Callable[[], Page]) -> Page:
    message = f"the list did not arrive within {seconds:g} s"
    return within(seconds, work, late=OcmError(message, hint="try again", code="timeout"))


def _read_pages(server: _Server, report: Callable[[str], None], *, optional: bool = False) -> Page | None:
    """Return the rows of all pages, None where the first is not there and need not be."""
    rows: list[object] = []
    size = 0
    seen: set[str] = set()
    address = server.address
    while address.url not in seen and len(seen) < MAX_PAGES:
        seen.add(address.url)
        data, address = _read(server.at(address), limit=MAX_BYTES - size, optional=optional and not rows)
        if data is None:
            return None
        page = parse_page(data)
        rows += page.rows
        size += len(data)
        report(f"{len(rows)} models, {size // 1024} kB")
        if page.next_url is None:
            return Page(rows=tuple(rows), total=page.total)
        address = _next_page(address, page.next_url)
    message = f"the pages of the list of {address.host} do not end"
    raise OcmError(message, hint="check the URL", code="list_unreadable")


def _read(server: _Server, *, limit: int, optional: bool) -> tuple[bytes | None, Url]:
    """Return the body at an address and the address to which redirects led.

    No body where it is not there and need not be.
    """
    address = server.address
    for _redirect in range(MAX_REDIRECTS + 1):
        with (
            _explained(address),
            _pool(address) as pool,
            contextlib.closing(_get(pool, server.at(address))) as response,
        ):
            if response.status == _OK:
                return _body(response, address, limit), address
            if response.status in _NOT_THERE and optional:
                return None, address
            if response.status not in _REDIRECTS:
                raise _unanswered(address, response.status)
            address = _redirected(server.at(address), response.headers.get("Location", ""))
    message = f"{address.host} redirects without end"
    raise OcmError(message, hint="check the URL", code="list_unreadable")


def _unanswered(address: Url, status: int) -> OcmError:
    if status in _REFUSALS:
        message = f"{address.host} answered with HTTP status {status}: it takes no such key, or wants one"
        return OcmError(message, hint="give main's provider another key", code="provider_refuses")
    message = f"{address.host} answered with HTTP status {status}"
    return OcmError(message, hint="check the URL, or try again later", code="list_unreadable")


def _get(pool: PoolManager, server: _Server) -> BaseHTTPResponse:
    address, headers = server.address, {**_HEADERS, **server.headers}
    if server.pinned is not None and address.scheme == "http":
        headers["Host"] = address.netloc or ""
        host = f"[{server.pinned}]" if ":" in server.pinned else server.pinned
        address = address._replace(host=host)
    return pool.request(
        "GET", address.url, headers=headers, redirect=False, retries=False, preload_content=False
    )


def _body(response: BaseHTTPResponse, address: Url, limit: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        message = f"{address.host} sends its list compressed although it was asked not to"
        raise OcmError(message, hint="check the URL", code="list_unreadable")
    data = bytearray()
    for chunk in response.stream(_CHUNK, decode_content=False):
        data += chunk
        if len(data) > limit:
            message = f"the list of {address.host} is larger than {MAX_BYTES // 2**20} MB"
            raise OcmError(message, hint="check the URL", code="list_too_large")
    return bytes(data)


def _parse(url: str) -> Url | None:
    """Return a URL with a host and without a user name, None for any other."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        address = parse_url(url)
    except LocationParseError:
        return None
    # A password would stand in argv, or be one that a server chose to have sent elsewhere.
    return address if address.host and address.auth is None else None


def _shown(url: str) -> str:
    """Return a URL to print: bounded, and without what may be a password."""
    return repr(printable(url.rpartition("@")[2][:100]))


def _redirected(server: _Server, location: str) -> Url:
    """Return where a redirect leads: to https, and with a key to nowhere but the same server."""
    address = server.address
    target = _joined(address, location)
    if target is not None and _origin(target) == _origin(address):
        return target
    if target is None or target.scheme != "https" or server.headers:
        allowed = "its key goes to no other server" if server.headers else "only https is"
        message = f"{address.host} redirects to {_shown(location)}, which is not followed: {allowed}"
        raise OcmError(message, hint="check the URL", code="redirect_refused")
    return target


def _origin(address: Url) -> tuple[str | None, str | None, int | None]:
    return address.scheme, address.host, address.port or {"https": 443, "http": 80}.get(address.scheme or "")


def _next_page(address: Url, following: str) -> Url:
    target = _joined(address, following)
    if target is None or _origin(target) != _origin(address):
        message = f"the next page of the list of {address.host} is at {_shown(following)}, another server"
        raise OcmError(message, hint="check the URL", code="redirect_refused")
    return target


def _joined(address: Url, reference: str) -> Url | None:
    from urllib.parse import urljoin

    try:
        return _parse(urljoin(address.url, reference))
    except ValueError:
        return None


def _pool(address: Url) -> PoolManager:
    import ssl

    import urllib3

    proxy = _proxy(address)
    timeout = urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS)
    # It takes longer to make than a page to read.
    trusted = ssl.create_default_context() if address.scheme == "https" else None
    if proxy is None:
        return urllib3.PoolManager(timeout=timeout, ssl_context=trusted)
    auth = urllib3.make_headers(proxy_basic_auth=proxy.auth) if proxy.auth else {}
    plain = proxy._replace(auth=None)
    return urllib3.ProxyManager(plain.url, proxy_headers=auth, timeout=timeout, ssl_context=trusted)


def _proxy(address: Url) -> Url | None:
    """Return the proxy that the environment names for an address; plain http goes to the server itself."""
    from urllib.parse import unquote
    from urllib.request import getproxies, proxy_bypass

    from urllib3.util import parse_url

    proxies = getproxies()
    named = proxies.get("https") or proxies.get("all")
    if address.scheme != "https" or not named or proxy_bypass(address.netloc or ""):
        return None
    proxy = parse_url(named if "://" in named else f"http://{named}")
    if proxy.scheme not in ("http", "https"):
        message = f"the environment names a {printable(proxy.scheme or '')} proxy, which OCM cannot use"
        hint = "set https_proxy to an http proxy, or unset it"
        raise OcmError(message, hint=hint, code="proxy_unsupported")
    return proxy._replace(auth=unquote(proxy.auth)) if proxy.auth else proxy


@contextlib.contextmanager
def _explained(address: Url) -> Iterator[None]:
    """Turn what urllib3 raises into one sentence; its own texts may hold a proxy's password."""
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        sentence, hint = _explain(error)
        message = f"{printable(address.host or '')[:100]} {sentence}"
        raise OcmError(message, hint=hint, code="download_failed") from None


def _explain(error: HTTPError) -> tuple[str, str]:
    from urllib3 import exceptions

    if isinstance(error, exceptions.SSLError):
        reason = printable(str(getattr(error.args[0], "verify_message", "") if error.args else ""))
        return f"is not trusted: {reason or 'TLS failed'}", "install ca-certificates, or check the URL"
    if isinstance(error, (exceptions.ProxyError, exceptions.LocationValueError)):
        return "is not reached through the proxy of the environment", "check https_proxy and no_proxy"
    if isinstance(error, exceptions.NameResolutionError):
        return "is not found", "is this machine online, and the name right?"
    if isinstance(error, exceptions.NewConnectionError):
        return "is not reached", "is this machine online?"
    if isinstance(error, exceptions.TimeoutError):
        return "does not answer", "try again"
    return "broke off before the list was complete", "try again"
