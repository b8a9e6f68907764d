"""Downloads model lists: TLS verified, and every amount bounded whatever the server does."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import threading
from typing import TYPE_CHECKING

from openclaw_ocm import __version__
from openclaw_ocm.core.models.listing import Page, parse_page
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid, OcmError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError
    from urllib3.util import Url

MAX_BYTES = 8 * 2**20
MAX_PAGES = 50
MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 20.0
_ALL_SECONDS = 90.0
_CHUNK = 65536
_OK = 200
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {
    "Accept": "application/json",
    # What is compressed could unfold to any size.
    "Accept-Encoding": "identity",
    "User-Agent": f"ocm/{__version__}",
}


def download(url: str, report: Callable[[str], None], *, seconds: float = _ALL_SECONDS) -> Page:
    """Return the rows of the list at `url`, those of its further pages too.

    The URL is https, or http where the server is on this machine; any other raises `Invalid`. Proxies are
    those of the environment. Raises `OcmError` where the server cannot be reached or is not trusted, where it
    sends something else than a list, more than OCM takes, or not all of it within `seconds`.
    """
    address = _parse(url)
    if address is None or not (address.scheme == "https" or _is_here(address)):
        message = f"{_shown(url)} is no URL that a list is read from"
        hint = (
            "write https://HOST/v1/models without a user name, or http:// where the server is on this machine"
        )
        raise Invalid(message, hint=hint, code="url_invalid")
    return _within(seconds, lambda: _read_pages(address, report))


def _within(seconds: float, work: Callable[[], Page]) -> Page:
    """Return what `work` returns; raise `OcmError` where it takes longer than `seconds`.

    The time limits of a socket bound each wait and not their sum, and names are resolved without any. So the
    work has a thread of its own, which is left to itself when it is late.
    """
    answers: queue.SimpleQueue[Page | Exception] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except Exception as error:  # noqa: BLE001 - raised again where the answer is awaited
            answers.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        message = f"the list did not arrive within {seconds:g} s"
        raise OcmError(message, hint="try again", code="timeout") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _read_pages(address: Url, report: Callable[[str], None]) -> Page:
    rows: list[object] = []
    size = 0
    seen: set[str] = set()
    while address.url not in seen and len(seen) < MAX_PAGES:
        seen.add(address.url)
        data, address = _read(address, limit=MAX_BYTES - size)
        page = parse_page(data)
        rows += page.rows
        size += len(data)
        report(f"{len(rows)} models, {size // 1024} kB")
        if page.next_url is None:
            return Page(rows=tuple(rows), total=page.total)
        address = _next_page(address, page.next_url)
    message = f"the pages of the list of {address.host} do not end"
    raise OcmError(message, hint="check the URL", code="list_unreadable")


def _read(address: Url, *, limit: int) -> tuple[bytes, Url]:
    """Return the body at an address and the address to which redirects led."""
    for _redirect in range(MAX_REDIRECTS + 1):
        with _explained(address), _pool(address) as pool, contextlib.closing(_get(pool, address)) as response:
            if response.status == _OK:
                return _body(response, address, limit), address
            if response.status not in _REDIRECTS:
                message = f"{address.host} answered with HTTP status {response.status}"
                raise OcmError(message, hint="check the URL, or try again later", code="list_unreadable")
            address = _redirected(address, response.headers.get("Location", ""))
    message = f"{address.host} redirects without end"
    raise OcmError(message, hint="check the URL", code="list_unreadable")


def _get(pool: PoolManager, address: Url) -> BaseHTTPResponse:
    return pool.request(
        "GET", address.url, headers=_HEADERS, redirect=False, retries=False, preload_content=False
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


def _is_here(address: Url) -> bool:
    """Tell whether an address is that of a server on this machine, over plain http."""
    host = (address.host or "").strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return loopback and address.scheme == "http"


def _shown(url: str) -> str:
    """Return a URL to print: bounded, and without what may be a password."""
    return repr(printable(url.rpartition("@")[2][:100]))


def _redirected(address: Url, location: str) -> Url:
    target = _joined(address, location)
    if target is None or target.scheme != "https":
        message = f"{address.host} redirects to {_shown(location)}, which is not followed: only https is"
        raise OcmError(message, hint="check the URL", code="redirect_refused")
    return target


def _next_page(address: Url, following: str) -> Url:
    target = _joined(address, following)
    origin = (address.scheme, address.host, address.port)
    if target is None or (target.scheme, target.host, target.port) != origin:
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
    """Return the proxy that the environment names for an address; plain http never leaves this machine."""
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
