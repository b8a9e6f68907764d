"""Which variables of main's an instance has not, though what they say is needed to reach anything.

Main gets them from its service, its `.env`, environment.d, the user manager or a login shell; an instance
gets keys of providers by inheriting, and no other variable but by the owner's word.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.environment import checked, holds_secret
from openclaw_ocm.core.openclaw.document import lookup
from openclaw_ocm.core.openclaw.main_place import Variable
from openclaw_ocm.core.secrets import is_key
from openclaw_ocm.core.text import printable
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

PROXY_URL = "OPENCLAW_PROXY_URL"
# Proxies, certificates, addresses of services, profiles and regions of clouds.
_NEEDED = re.compile(
    r"(https?|ftp|all|no)_proxy|(HTTPS?|FTP|ALL|NO)_PROXY|OPENCLAW_PROXY_URL"
    r"|NODE_EXTRA_CA_CERTS|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL|AWS)_CA_BUNDLE|GIT_SSL_CAINFO|PIP_CERT"
    r"|\w+_(BASE_URL|BASEURL|API_BASE|API_URL|ENDPOINT)|OLLAMA_HOST"
    r"|(AWS|GOOGLE|GCLOUD|CLOUDSDK|CLOUD_ML|VERTEX|ANTHROPIC_VERTEX|AZURE|TZ)(_\w+)?"
)
# Of AWS, Google and the like: what programs say of themselves or of where they run.
_PASSING = re.compile(r"AWS_(EXECUTION_ENV|PAGER)|GOOGLE_API_KEY|.*_TELEMETRY.*")
# What the machine trusts is trusted inside.
_TRUSTED = ("/etc/ssl/", "/usr/share/ca-certificates/", "/etc/pki/")
_MOST = 12
# What a profile of AWS is looked up in.
_AWS_FILES = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What stands around main: its `variables` by name, and the `files` of its clouds that are there."""

    variables: Mapping[str, Variable] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def around(config: Mapping[str, Any], config_place: str, variables: Mapping[str, Variable]) -> Around:
    """Return what stands around main; the proxy that its config names counts as a variable of OpenClaw's."""
    url = lookup(config, "proxy.proxyUrl")
    if not isinstance(url, str):
        return Around(variables=variables)
    own = Variable(name=PROXY_URL, value=url, origin=f"proxy in {config_place}")
    return Around(variables={**variables, PROXY_URL: own})


def aws_files(home: str) -> dict[str, str]:
    """Return where a profile of AWS is looked up, by the variable that names another place."""
    return {name: f"{home}/.aws/{file}" for name, file in _AWS_FILES.items()}


def left_behind(name: str, main: Around, have: Collection[str]) -> Iterator[str]:
    """Yield what the instance `name` has not of what stands around main; it has the variables `have`."""
    missing = [one for one in main.variables.values() if _is_missing(one, have)][:_MOST]
    if any(one.name == "AWS_PROFILE" for one in missing):
        given = {*have, *main.variables}
        missing += [
            Variable(name=variable, value=path, origin=path.rpartition("/")[0])
            for variable, path in main.files.items()
            if variable not in given
        ]
    plain = [one for one in missing if _is_plain(one)]
    if plain:
        words = " ".join(shlex.quote(f"{one.name}={one.value}") for one in plain)
        yield f"{_set(plain)}, which {name} has not: ocm env {name} set {words}"
    kept = [one for one in missing if one not in plain and is_key(one.name)]
    if kept:
        first, *others = (one.name for one in kept)
        also = f", and so {', '.join(others)}" if others else ""
        yield f"{_set(kept)}, which {name} has not: ocm secret set {name} {first}{also}"
    for one in missing:
        if one.name == PROXY_URL and one not in plain:
            yield f"main's proxy has a password in it, and {name} has no proxy: ocm edit {name} proxy -"


def _is_missing(one: Variable, have: Collection[str]) -> bool:
    trusted = "CA" in one.name and one.value.startswith(_TRUSTED)
    passing = _PASSING.fullmatch(one.name) is not None or trusted or not one.value.strip()
    return one.name not in have and not passing and _NEEDED.fullmatch(one.name) is not None


def _is_plain(one: Variable) -> bool:
    """Tell whether a variable is one that may be given to an instance, and is no secret."""
    try:
        checked({one.name: one.value})
    except Invalid:
        return False
    return not holds_secret(one.name, one.value)


def _set(found: list[Variable]) -> str:
    names = ", ".join(one.name for one in found)
    origins = list(dict.fromkeys(one.origin for one in found))
    return printable(f"{' and '.join(origins)} set{'s' * (len(origins) == 1)} {names}", limit=600)
