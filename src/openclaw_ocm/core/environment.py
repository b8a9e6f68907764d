"""The variables that a user gives to an instance: proxies, certificates, a time zone, regions, base URLs.

They stand in the record and in the arguments of the instance's processes, which every user of the machine
can read: none is a secret. None changes what OCM's own programs in the sandbox run, which get them as well.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.openclaw.secret_places import is_secret
from openclaw_ocm.core.openclaw.traits import SECRET_ID
from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_VARIABLES, MAX_VALUE = 100, 4096
# Where an instance finds a file of the host's that a variable names.
SHOWN = PurePosixPath("/run/ocm/files")
# What the sandbox shows at its own place.
_SYSTEM = ("/usr", "/etc")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Lone surrogates are what Python makes of an argument that is no UTF-8.
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_PROXY = re.compile(r"(https?|ftp|all)_proxy|(HTTPS?|FTP|ALL)_PROXY|OPENCLAW_PROXY_URL")
# Whose value is the path of a file, which the instance is shown, and no other.
_FILE = re.compile(
    r"NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|AWS_CA_BUNDLE|GIT_SSL_CAINFO|PIP_CERT"
    r"|(NPM_CONFIG|npm_config)_(CAFILE|cafile)"
    r"|GOOGLE_APPLICATION_CREDENTIALS|AWS_(SHARED_CREDENTIALS|CONFIG|WEB_IDENTITY_TOKEN)_FILE"
)
# Of what is refused below.
_ALLOWED = re.compile(
    r"NODE_(EXTRA_CA_CERTS|USE_SYSTEM_CA|USE_ENV_PROXY|ENV|NO_WARNINGS)"
    r"|OPENCLAW_(PROXY_URL|LOG_LEVEL|DEBUG_\w+|DIAGNOSTICS\w*|OFFLINE|THEME|BROWSER_HEADLESS|SKIP_CHANNELS"
    r"|EXEC_SHELL_SNAPSHOT|ALLOW_INSECURE_PRIVATE_WS)"
)
_WEAKENING = re.compile(r"NODE_TLS_REJECT_UNAUTHORIZED|GIT_SSL_NO_VERIFY|PYTHONHTTPSVERIFY")
# Those of the instance's programs that OCM sets, and more of the kind.
_OWN = re.compile(
    r"(?i:HOME|PATH|SHELL|TMPDIR|TEMP|TMP|USER|LOGNAME|PWD|OLDPWD|TERM|SHLVL|_"
    r"|(XDG|OCM|OPENCLAW|SUDO|DBUS|DOCKER|CONTAINER|SYSTEMD|LISTEN)_.*|NOTIFY_SOCKET|INVOCATION_ID"
    r"|JOURNAL_STREAM|MAINPID|CREDENTIALS_DIRECTORY|MEMORY_PRESSURE_.*|NPM_CONFIG_(CACHE|PREFIX|USERCONFIG|GLOBALCONFIG)"
    r"|UV_(TOOL|PYTHON)(_\w+)?_DIR|PIPX_(HOME|BIN_DIR|MAN_DIR)|PIP_BREAK_SYSTEM_PACKAGES"
    r"|CARGO_(HOME|INSTALL_ROOT)|RUSTUP_HOME|GO(BIN|PATH|CACHE|MODCACHE)|BUN_INSTALL(_CACHE_DIR)?|PLAYWRIGHT_BROWSERS_PATH)"
)
# By which a program runs, loads or reads something before it does what it is for.
_STEERING = re.compile(
    r"(LD|DYLD|NODE|MALLOC|BASH)_.*|PERL.*|PYTHON.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|GETCONF_DIR"
    r"|RES_OPTIONS|LOCALDOMAIN|HOSTALIASES|OPENSSL_(CONF|MODULES|ENGINES)"
    r"|VITEST.*|ENV|BASHOPTS|SHELLOPTS|IFS|CDPATH|PS[0-9]|PROMPT_COMMAND|UV_(CACHE|TOOL).*"
)
_SECRET = re.compile(
    r"(?i)(.*_)?(KEYS?|APIKEYS?|TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|PAT)_?[0-9]*(_ID|_JSON)?"
    # Spare keys, as OpenClaw 2026.9.6 looks for them (docs/gateway/authentication), and those of a cloud.
    r"|.*_(API|ACCESS)_KEYS?_.*|.*CONNECTION_?STRING|.*_(BEARER_TOKEN|CLIENT_SECRET)_.*|.*_(PWD|SAS)"
)
# Of their many variables OCM knows few: what looks like a key, and is no path, is taken for one.
_OF_CLOUDS = re.compile(r"(AWS|AZURE|GOOGLE_CLOUD|GCLOUD|CLOUDSDK|CLOUD_ML|VERTEX|ANTHROPIC_VERTEX)_.*")
_LIKE_KEY = re.compile(
    r"(?![/~.])(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9+/=_~.-]{20,}|[0-9a-fA-F]{32,}|(AKIA|ASIA)[A-Z0-9]{12,}"
)
# A time zone as tzset(3) has it: TZ is no path.
_ZONE = re.compile(r"[A-Za-z0-9+<>,./:_-]{1,100}")


def parse_variable(text: str) -> str:
    """Return `text` as the name of a variable that a user may give; raise `Invalid` with the reason."""
    if not _NAME.fullmatch(text):
        shown = repr(text) if len(text) <= len("GOOGLE_CLOUD_PROJECT") else "that"
        message = f"{shown} is no name of a variable: use letters, digits and '_'"
        raise Invalid(message, hint="for example TZ=Europe/Berlin", code="variable_invalid")
    if _WEAKENING.fullmatch(text):
        message = f"{text} would switch the check of certificates off"
        hint = "NODE_EXTRA_CA_CERTS=/path/to/ca.pem has a certificate authority trusted"
        raise Invalid(message, hint=hint, code="variable_refused")
    if not _ALLOWED.fullmatch(text):
        if _OWN.fullmatch(text):
            message = f"{text} is set by OCM, by the backend or by OpenClaw, and no other's to set"
            raise Invalid(message, hint=_config_hint(text), code="variable_refused")
        if _STEERING.fullmatch(text):
            message = f"{text} decides what programs load and run, those of the sandbox itself too"
            raise Invalid(message, code="variable_refused")
    return text


def _config_hint(name: str) -> str | None:
    return "ocm edit changes OpenClaw's config" if name.upper().startswith("OPENCLAW_") else None


def parse_variables(texts: Iterable[str], *, of: str = "NAME") -> dict[str, str]:
    """Return what assignments, `KEY=VALUE`, say; raise `Invalid` for one that cannot be.

    What is raised for a value that is a secret does not hold it; its hint is for the instance `of`.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            shown = f"{text!r} is" if _NAME.fullmatch(text) else "that is"
            raise Invalid(
                f"{shown} no KEY=VALUE", hint="for example TZ=Europe/Berlin", code="variable_invalid"
            )
        if name in found:
            raise Invalid(f"{name} is set twice", code="variable_invalid")
        found[name] = value
    return checked(found, of=of)


def checked(variables: Mapping[str, str], *, of: str = "NAME") -> dict[str, str]:
    """Return variables, sorted; raise `Invalid` where they cannot be given to an instance."""
    if len(variables) > MAX_VARIABLES:
        raise Invalid(f"an instance has {MAX_VARIABLES} variables at most", code="variable_invalid")
    for name, value in variables.items():
        parse_variable(name)
        _check_value(name, value, of)
    return {name: variables[name] for name in sorted(variables)}


def _check_value(name: str, value: str, of: str) -> None:
    if not value:
        message, hint = f"{name} has no value", f"ocm env {of} unset {name} takes it away"
        raise Invalid(message, hint=hint, code="variable_invalid")
    if not _TEXT.fullmatch(value):
        message = f"the value of {name} is no line of text: it has a control character, or is no UTF-8"
        raise Invalid(message, code="variable_invalid")
    if len(value.encode()) > MAX_VALUE:
        raise Invalid(f"the value of {name} is longer than {MAX_VALUE} bytes", code="variable_invalid")
    if holds_secret(name, value):
        message = f"{name} looks like a secret, and every user of this machine can read a variable"
        raise Invalid(message, hint=f"ocm secret set {of} {secret_name(name)}", code="variable_secret")
    if is_file(name) and not value.startswith("/"):
        message = f"{name} takes the absolute path of a file"
        raise Invalid(message, hint=f"{name}=/path/to/ca.pem", code="variable_invalid")
    if name == "TZ" and not _ZONE.fullmatch(value):
        raise Invalid(f"{value!r} is no time zone", hint="for example TZ=Europe/Berlin", code="zone_unknown")


def holds_secret(name: str, value: str) -> bool:
    """Tell whether a variable is, by its name or by its value, a secret: a password in an address as well."""
    if is_file(name):
        return False
    # The address of a proxy may come without a scheme, and a password in it with any character.
    held = is_secret((), value) or (is_proxy(name) and "@" in value)
    is_like_key = _OF_CLOUDS.fullmatch(name) and _LIKE_KEY.fullmatch(value)
    return held or _SECRET.fullmatch(name) is not None or is_like_key is not None


def secret_name(name: str) -> str:
    """Return under which name a variable can be a secret."""
    upper = name.upper()
    return upper if SECRET_ID.fullmatch(upper) else "KEY"


def is_proxy(name: str) -> bool:
    """Tell whether a variable names a proxy."""
    return _PROXY.fullmatch(name) is not None


def is_file(name: str) -> bool:
    """Tell whether the value of a variable is a file that the instance is shown."""
    return _FILE.fullmatch(name) is not None


def shown_files(variables: Mapping[str, str]) -> dict[str, PurePosixPath]:
    """Return the files that the sandbox is to show for the sake of these variables, by variable.

    What lies in the system is there anyway. A path with `..` in it is not believed to lie there.
    """
    return {
        name: path
        for name, value in variables.items()
        if is_file(name)
        for path in (PurePosixPath(value),)
        if ".." in path.parts or not any(path.is_relative_to(place) for place in _SYSTEM)
    }


def seen_inside(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables as a sandbox has them: with the places at which it shows their files."""
    return {**variables, **{name: str(SHOWN / name) for name in shown_files(variables)}}


def named_addresses(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what these variables name as URLs, by variable; a proxy may be one without a scheme."""
    for name, value in variables.items():
        if "://" in value:
            yield name, value
        elif is_proxy(name):
            yield name, f"http://{value}"
