"""Reads what main has to inherit: config with includes, variables, stored credentials. Changes nothing.

Main is the user's own, so links are followed; types and sizes are not trusted. An instance is not: of one
only its config is read, without includes and files, and what OCM itself keeps for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from openclaw_ocm.core.inheritance.extract import Source
from openclaw_ocm.core.names import MAIN
from openclaw_ocm.core.openclaw.channels import bots
from openclaw_ocm.core.openclaw.document import INCLUDE, MAX_BYTES, lookup, parse_config
from openclaw_ocm.core.openclaw.main_place import port_in
from openclaw_ocm.core.paths import CONFIG_NAME
from openclaw_ocm.core.ports import MAIN_PORT
from openclaw_ocm.core.record import Runtime
from openclaw_ocm.errors import OcmError
from openclaw_ocm.system import files
from openclaw_ocm.system.openclaw.config import read_config
from openclaw_ocm.system.openclaw.judge import judge_main
from openclaw_ocm.system.openclaw.providers import known_providers
from openclaw_ocm.system.openclaw.stores import read_profiles
from openclaw_ocm.system.openclaw.texts import HINT, read_bounded, read_text
from openclaw_ocm.system.openclaw.variables import all_variables
from openclaw_ocm.system.openclaw.whereabouts import find_main

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.openclaw.main_place import Main, Surroundings
    from openclaw_ocm.system.host import Host
    from openclaw_ocm.system.volume import Volume

# Of a file with a token: more is none.
_MAX_TOKEN = 16384
# As in OpenClaw 2026.9.6 (dist/includes).
_MAX_INCLUDE_BYTES = 2 * 2**20
_MAX_INCLUDE_DEPTH = 10
_GIVING_OUT = "secrets.providers."


def read_main_source(
    host: Host, package: PurePosixPath, *, node: str | None = None, given: Mapping[str, str] | None = None
) -> Source:
    """Return what main has, or its template; raise `OcmError` where that cannot be read.

    `package` is the OpenClaw of the instance, which knows its providers, and with a `node` that runs it has
    the first word on whether main's config is valid. `given` are the variables that the instance has anyway.
    """
    given = given or {}
    main = find_main(host)
    template = _template(host, main)
    judged = tuple[str, ...]()
    if node is not None and main.found and template is None:
        judged = _refuse_invalid(host, Runtime(node=node, openclaw=str(package)), main)
    config = _read_config(template or main.config, main)
    known, plugins = known_providers(package)
    expected = {name for names in known.values() for name in names}
    surroundings = all_variables(host, main, config, sorted(expected))
    profiles, unread = read_profiles(host, main, config)
    missing = () if main.found or template else (main.sentence(host.paths.settings),)
    return Source(
        name="the template" if template else MAIN,
        config=config,
        variables=surroundings.values(),
        profiles=profiles,
        provider_variables=known,
        provider_plugins=plugins,
        resolve=lambda reference: _read_secret_file(host, config, reference),
        notes=(*missing, *judged, *surroundings.notes, *unread),
        around=surroundings.variables,
        port=None if template else _port_in(main, config),
        place=str(template or main.config),
        given=given,
    )


def _refuse_invalid(host: Host, runtime: Runtime, main: Main) -> tuple[str, ...]:
    """Raise `OcmError` where an OpenClaw calls main's config invalid: half of one is inherited by nobody.

    Returns in sentences what it refuses of the programs and files that give out secrets: no instance gets
    these. Where it could not be asked, what is made of the config is judged, or its gateway says so.
    """
    verdict = judge_main(host, runtime, main)
    if verdict.valid is not False:
        return ()
    wrong = [issue for issue in verdict.issues if not issue.startswith(_GIVING_OUT)]
    if not wrong:
        return tuple(f"main's own OpenClaw refuses its config: {issue}" for issue in verdict.issues)
    message = f"main's config is invalid or older than this OpenClaw: {main.config}: {wrong[0]}"
    hint = f"{_as_main(main)} doctor --fix mends it; --no-inherit leaves it out"
    raise OcmError(message, hint=hint, code="main_invalid", details=tuple(wrong[1:]))


def _as_main(main: Main) -> str:
    """Return what is typed for the OpenClaw of main."""
    if not main.origin:
        return "openclaw"
    if main.profile and main.state.name == f".openclaw-{main.profile}":
        return f"openclaw --profile {main.profile}"
    elsewhere = main.config.parent != main.state
    config = f"OPENCLAW_CONFIG_PATH={shlex.quote(str(main.config))} " if elsewhere else ""
    return f"OPENCLAW_STATE_DIR={shlex.quote(str(main.state))} {config}openclaw"


def read_surroundings(host: Host, package: PurePosixPath) -> Surroundings:
    """Return every variable that main's gateway has, each with where it is set.

    `package` is the OpenClaw that knows which are keys of providers. A config that cannot be read sets none;
    raises `OcmError` where files of variables cannot be read.
    """
    main = find_main(host)
    expected = {name for names in known_providers(package)[0].values() for name in names}
    config: dict[str, Any] = {}
    with contextlib.suppress(OcmError):
        config = _read_config(main.config, main)
    return all_variables(host, main, config, sorted(expected))


def read_main_port(host: Host) -> int:
    """Return the port on which main listens or is to listen, as far as that can be read."""
    try:
        main = find_main(host)
        return _port_in(main, _read_config(main.config, main))
    except OcmError:
        return MAIN_PORT


def _port_in(main: Main, config: Mapping[str, Any]) -> int:
    port = lookup(config, "gateway.port")
    return main.port or port_in(port if isinstance(port, int) else None) or main.default_port


def _template(host: Host, main: Main) -> PurePosixPath | None:
    """Return what stands for main's config where the user wants that, None where there is nothing."""
    places = (main.state / host.paths.main_template.name, host.paths.main_template)
    return next((place for place in places if Path(place).exists()), None)


def read_own_config(main: Main) -> dict[str, Any]:
    """Return a config of the user's with what it includes; raise `OcmError` where it cannot be read."""
    return _read_config(main.config, main)


def read_main_bots(host: Host) -> frozenset[str]:
    """Return a hash of each Telegram token of main's; raise `OcmError` where its config cannot be read."""
    main = find_main(host)
    config = _read_config(main.config, main)

    def token_in(path: str) -> str:
        # A link is none to OpenClaw.
        file = Path(path).expanduser()
        try:
            text = b"" if file.is_symlink() else files.read_own(PurePosixPath(file), limit=_MAX_TOKEN)
        except (OcmError, ValueError, RuntimeError):
            text = b""
        return (text or b"").decode(errors="replace")

    return bots(config, all_variables(host, main, config, ()).values(), token_in)


def read_instance_source(
    name: InstanceName,
    volume: Volume,
    package: PurePosixPath,
    variables: Mapping[str, str],
    *,
    given: Mapping[str, str] | None = None,
) -> Source:
    """Return what an instance has: its config, which it may have written, and what OCM keeps of variables.

    Raises `OcmError` where the config cannot be read.
    """
    config = read_config(volume, name)[1]
    known, plugins = known_providers(package)
    note = f"what the config of {name} includes from other files is not inherited"
    return Source(
        name=name,
        config=config,
        variables=variables,
        provider_variables=known,
        provider_plugins=plugins,
        notes=(note,) if INCLUDE in config else (),
        place=volume.place(CONFIG_NAME),
        given=given or {},
    )


def _read_config(path: PurePosixPath, main: Main) -> dict[str, Any]:
    """Return a config of the user's with its includes in their places, an empty one where there is none."""
    real = files.real_path(path)
    data = read_bounded(real, MAX_BYTES, str(path))
    if data is None:
        return {}
    config = _mended(lambda: parse_config(data, source=str(path)))
    roots = [real.parent]
    listed = main.surroundings.value("OPENCLAW_INCLUDE_ROOTS").replace("\0", "").split(os.pathsep)
    # Path.expanduser raises RuntimeError for a user who is not there.
    roots += [files.real_path(os.path.expanduser(root)) for root in listed if root]  # noqa: PTH111
    resolved = _Includes(tuple(roots)).resolve(config, real, (real,))
    return resolved if isinstance(resolved, dict) else {}


class _Includes:
    """Puts included files in the place of `$include`, as OpenClaw 2026.9.6 does (dist/includes)."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self._roots = roots

    def resolve(self, value: object, file: Path, chain: tuple[Path, ...]) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(value, list):
            return [self.resolve(item, file, chain) for item in value]
        if not isinstance(value, dict):
            return value
        rest = {key: self.resolve(item, file, chain) for key, item in value.items() if key != INCLUDE}
        if INCLUDE not in value:
            return rest
        named = value[INCLUDE]
        included: Any = {}
        for name in named if isinstance(named, list) else [named]:
            one = self._load(name, file, chain)
            included = _deep_merge(included, one) if isinstance(named, list) else one
        return _deep_merge(included, rest) if rest else included

    def _load(self, name: object, file: Path, chain: tuple[Path, ...]) -> Any:  # noqa: ANN401 - any JSON value
        if not isinstance(name, str) or "\0" in name:
            raise self._refused(f"{file} has an $include that is no file name")
        path = files.real_path(file.parent / name)
        if not any(path.is_relative_to(root) for root in self._roots):
            raise self._refused(f"{file} includes {name}, which lies outside of its directory")
        if path in chain or len(chain) > _MAX_INCLUDE_DEPTH:
            raise self._refused(f"{file} includes {name}, in a circle or too deep")
        data = read_bounded(path, _MAX_INCLUDE_BYTES, str(path))
        if data is None:
            raise self._refused(f"{file} includes {name}, which is not there")
        # An included file may hold any JSON value: wrapped, it is an object to the parser.
        wrapped = b'{"included":' + data.removeprefix(b"\xef\xbb\xbf") + b"\n}"
        config = _mended(lambda: parse_config(wrapped, source=str(path)))
        return self.resolve(config.get("included"), path, (*chain, path))

    def _refused(self, message: str) -> OcmError:
        return OcmError(message, hint=HINT, code="config_unreadable")


def _deep_merge(target: object, source: object) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(target, dict) and isinstance(source, dict):
        merged = dict(target)
        for key, value in source.items():
            merged[key] = _deep_merge(merged[key], value) if key in merged else value
        return merged
    if isinstance(target, list) and isinstance(source, list):
        return [*target, *source]
    return source


def _mended(parse: Any) -> dict[str, Any]:  # noqa: ANN401 - a function without arguments
    try:
        config: dict[str, Any] = parse()
    except OcmError as error:
        raise OcmError(error.message, hint=HINT, code=error.code) from None
    return config


def _read_secret_file(host: Host, config: Mapping[str, Any], reference: Mapping[str, Any]) -> str | None:
    """Return what a reference to a file leads to (OpenClaw 2026.9.6, docs/gateway/secrets), or None."""
    providers = config.get("secrets", {})
    providers = providers.get("providers") if isinstance(providers, dict) else None
    provider = providers.get(reference.get("provider")) if isinstance(providers, dict) else None
    path = provider.get("path") if isinstance(provider, dict) else None
    if not isinstance(path, str) or provider is None:
        return None
    place = str(host.paths.home) + path[1:] if path.startswith("~/") else path
    try:
        text = read_text(place)
    except OcmError:
        return None
    if provider.get("mode") == "singleValue":
        return text.strip() or None
    return _pointed(text, str(reference.get("id")))


def _pointed(text: str, pointer: str) -> str | None:
    """Return the text at a JSON pointer (RFC 6901)."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for part in pointer.removeprefix("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None
