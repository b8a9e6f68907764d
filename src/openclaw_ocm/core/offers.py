"""What of the variables of main and of the machine a new instance may want: none comes by itself."""

from __future__ import annotations

import itertools
import re
import shlex
from typing import TYPE_CHECKING

from openclaw_ocm.core.environment import checked, holds_secret, is_file, is_proxy, secret_name
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from openclaw_ocm.core.openclaw.main_place import Variable

_EVERYONES = re.compile(r"TZ|(?i:no_proxy)|NODE_USE_ENV_PROXY")
# Where a provider is asked, and for whom: what OpenClaw 2026.9.6 and the clients in it read.
_OF_PROVIDERS = re.compile(
    r"[A-Z0-9_]+_(BASE_URL|API_BASE|API_HOST|ENDPOINT|ENDPOINT_URL|REGION|LOCATION|API_VERSION|HOMESERVER)"
    r"|(AWS|GOOGLE_CLOUD|GCLOUD|CLOUDSDK|CLOUD_ML|VERTEX|ANTHROPIC_VERTEX|AZURE)_[A-Z0-9_]+|OLLAMA_HOST"
)
# What the tools of clouds say of where they run, and keys that are inherited as a provider's.
_PASSING = re.compile(r"AWS_(EXECUTION_ENV|PAGER|LAMBDA_\w+)|CLOUDSDK_(PYTHON\w*|COMPONENT_MANAGER_\w+)")
# In which files of the home a profile is looked up, where no variable names others.
_PROFILE = "AWS_PROFILE"
_PROFILES = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}
_MOST = 30
# What the machine trusts an instance trusts anyway, such as what OpenClaw's installer writes.
_TRUSTED = ("/etc/ssl/certs/", "/usr/share/ca-certificates/", "/etc/pki/")


def wanted_of_main(variables: Iterable[Variable]) -> Iterator[Variable]:
    """Yield what of main's variables an instance may want that inherits from it."""
    for one in variables:
        needed = _is_everyones(one) or _OF_PROVIDERS.fullmatch(one.name)
        if needed and one.value.strip() and not _PASSING.fullmatch(one.name):
            yield from _possible(one)


def profiles_in(folder: str, names: Collection[str]) -> dict[str, str]:
    """Return the files of `folder`, `~/.aws`, that a profile of AWS needs, by variable; `names` are set."""
    if _PROFILE not in names:
        return {}
    return {name: f"{folder}/{file}" for name, file in _PROFILES.items() if name not in names}


def wanted_of_machine(variables: Iterable[Variable]) -> Iterator[Variable]:
    """Yield what of the machine's variables any instance on it may want."""
    for one in variables:
        if _is_everyones(one):
            yield from _possible(one)


def _is_everyones(one: Variable) -> bool:
    if is_file(one.name) or one.name == "SSL_CERT_DIR":
        return not f"{one.value}/".startswith(_TRUSTED)
    return is_proxy(one.name) or _EVERYONES.fullmatch(one.name) is not None


def _possible(one: Variable) -> Iterator[Variable]:
    if holds_secret(one.name, one.value):
        yield one
        return
    try:
        checked({one.name: one.value})
    except Invalid:
        return
    yield one


def offer_notes(name: str, offers: Iterable[Variable]) -> Iterator[str]:
    """Yield a sentence for what is set in one place, with the command that gives it to an instance."""
    places: dict[str, list[Variable]] = {}
    for one in itertools.islice(offers, _MOST):
        if holds_secret(one.name, one.value):
            what = "holds a password" if is_proxy(one.name) else "is a secret"
            yield (
                f"{one.name} in {one.origin} {what}, and {name} has it not: "
                f"ocm secret set {name} {secret_name(one.name)}"
            )
        else:
            places.setdefault(one.origin, []).append(one)
    for origin, found in places.items():
        words = " ".join(shlex.quote(f"{one.name}={one.value}") for one in found)
        verb = "is" if len(found) == 1 else "are"
        names = ", ".join(one.name for one in found)
        yield f"{names} {verb} set in {origin}, and not for {name}: ocm env {name} set {words}"
