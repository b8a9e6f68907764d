"""Where everything of a user and of an instance is, but for what is a backend's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openclaw_ocm.core.names import InstanceName

# What OpenClaw and the sandbox find in a state that is new.
STATE_DIRECTORIES = ("workspace", "logs", "cache", "credentials")
_SPACE = 0x20
CONFIG_NAME = "openclaw.json"
# What is no UTF-8 in the environment comes as one of these.
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPaths:
    """The directories of one user, XDG variables honoured."""

    home: PurePosixPath
    config_home: PurePosixPath
    state_home: PurePosixPath
    data_home: PurePosixPath

    @property
    def ocm_config(self) -> PurePosixPath:
        """Directory of records, secrets and settings."""
        return self.config_home / "ocm"

    @property
    def ocm_state(self) -> PurePosixPath:
        """Directory of locks and transaction journals."""
        return self.state_home / "ocm"

    @property
    def records(self) -> PurePosixPath:
        """Directory of the records, one TOML file for each instance."""
        return self.ocm_config / "instances"

    @property
    def settings(self) -> PurePosixPath:
        """File of host-wide settings."""
        return self.ocm_config / "settings.toml"

    @property
    def transactions(self) -> PurePosixPath:
        """Directory of transaction journals: a file here is work that was begun and not finished."""
        return self.ocm_state / "transactions"

    @property
    def locks(self) -> PurePosixPath:
        """Directory of lock files."""
        return self.ocm_state / "locks"

    @property
    def history(self) -> PurePosixPath:
        """File with a line for each change of an instance."""
        return self.ocm_state / "history.jsonl"

    @property
    def older_history(self) -> PurePosixPath:
        """What the history was when it grew too long."""
        return self.ocm_state / "history.1.jsonl"

    @property
    def ocm_data(self) -> PurePosixPath:
        """Directory of what OCM brings: its environment, Node, what it shows instances."""
        return self.data_home / "ocm"

    @property
    def runtimes(self) -> PurePosixPath:
        """Directory of the OpenClaws that OCM brought, each named by its version."""
        return self.ocm_data / "runtimes"

    @property
    def images(self) -> PurePosixPath:
        """Directory of the images that OCM built, each a file."""
        return self.ocm_data / "images"

    @property
    def npm_prefix(self) -> PurePosixPath:
        """Where npm keeps the user's global packages, as OpenClaw's own documentation has it."""
        return self.home / ".npm-global"

    @property
    def units(self) -> PurePosixPath:
        """Directory of the user manager's own unit files."""
        return self.config_home / "systemd" / "user"

    @property
    def last_backups(self) -> PurePosixPath:
        """Directory of what became of the last scheduled backup of each instance."""
        return self.ocm_state / "backups"

    @property
    def last_upgrades(self) -> PurePosixPath:
        """Directory of what became of the last scheduled upgrade of each instance."""
        return self.ocm_state / "upgrades"

    @property
    def textfile(self) -> PurePosixPath:
        """Where metrics are written by themselves, and how often."""
        return self.ocm_config / "metrics.toml"

    @property
    def sizes(self) -> PurePosixPath:
        """How large states were when they were measured last."""
        return self.ocm_state / "sizes.json"

    @property
    def ways(self) -> PurePosixPath:
        """By which ways messages go, and where to: with secrets."""
        return self.ocm_config / "notify.toml"

    @property
    def notices(self) -> PurePosixPath:
        """What was told last, and what is still to be sent."""
        return self.ocm_state / "notify.json"

    @property
    def newest(self) -> PurePosixPath:
        """Directory of what npm's registry said was newest, a file for each channel."""
        return self.ocm_state / "newest"

    @property
    def main_state(self) -> PurePosixPath:
        """State directory of main, the user's own OpenClaw."""
        return self.home / ".openclaw"

    @property
    def main_config(self) -> PurePosixPath:
        """Config of main."""
        return self.main_state / CONFIG_NAME

    @property
    def main_template(self) -> PurePosixPath:
        """What new instances inherit in the place of main's config, where the user has one."""
        return self.main_state / "openclaw.json.templ"

    @property
    def backups(self) -> PurePosixPath:
        """Directory of backups, the user's to look after."""
        return self.home / "backups"

    def instance(self, name: InstanceName) -> InstancePaths:
        """Return the paths of one instance."""
        state = self.home / f".openclaw-{name}"
        return InstancePaths(
            name=name,
            host=self,
            state=state,
            config=state / CONFIG_NAME,
            config_link=self.main_state / f"openclaw-{name}.json",
            record=self.records / f"{name}.toml",
            secrets=self.ocm_config / "secrets" / f"{name}.env",
            shell=self.ocm_data / "instances" / name,
            scratch=self.ocm_state / "tmp" / name,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePaths:
    """The files and directories of one instance.

    `shell` is what OCM shows the instance, read-only: the empty `root` of its sandbox, the directory
    `home` that stands for `~/.openclaw`, and `bin` with the commands on its PATH. `scratch` holds its
    /tmp and /var/tmp.
    """

    name: InstanceName
    host: HostPaths
    state: PurePosixPath
    config: PurePosixPath
    config_link: PurePosixPath
    record: PurePosixPath
    secrets: PurePosixPath
    shell: PurePosixPath
    scratch: PurePosixPath

    def temporary(self, path: PurePosixPath) -> PurePosixPath:
        """Return the directory that the sandbox sees as `path`, /tmp or /var/tmp."""
        return self.scratch / str(path).strip("/").replace("/", "-")

    @property
    def last_backup(self) -> PurePosixPath:
        """What became of the last scheduled backup."""
        return self.host.last_backups / f"{self.name}.json"

    @property
    def last_upgrade(self) -> PurePosixPath:
        """What became of the last scheduled upgrade."""
        return self.host.last_upgrades / f"{self.name}.json"

    @property
    def reserve(self) -> PurePosixPath:
        """Room on the disk for the journal of its deletion: beside the locks, of no account otherwise."""
        return self.host.locks / f"{self.name}.reserve"

    @property
    def inherited(self) -> PurePosixPath:
        """What the instance inherited, to tell later what changed on which side. Holds no secret."""
        return self.host.ocm_config / "inherited" / f"{self.name}.json"

    @property
    def adopted(self) -> PurePosixPath:
        """What the instance was before it was adopted, where it was: with keys, so that it can go back."""
        return self.host.ocm_config / "adopted" / f"{self.name}.json"

    @property
    def written(self) -> tuple[PurePosixPath, ...]:
        """The files that OCM writes for the instance, beside those that are its backend's."""
        return (
            self.record,
            self.secrets,
            self.inherited,
            self.adopted,
            self.config,
            self.last_backup,
            self.last_upgrade,
        )

    @property
    def workspace(self) -> PurePosixPath:
        """The agent's workspace."""
        return self.state / "workspace"

    @property
    def bin(self) -> PurePosixPath:
        """Directory with `openclaw` for this instance, first on its PATH."""
        return self.shell / "bin"

    @property
    def link_directory(self) -> PurePosixPath:
        """Directory that the sandbox sees as `~/.openclaw`: one link and nothing else."""
        return self.shell / "home"

    @property
    def local(self) -> PurePosixPath:
        """Directory that the sandbox sees as `~/.local`: a link to the instance's own programs."""
        return self.shell / "local"

    @property
    def mount_points(self) -> PurePosixPath:
        """File with the mount points in the sandbox's root that its owner's mounts have, one a line."""
        return self.shell / "mount-points"

    @property
    def root(self) -> PurePosixPath:
        """Directory that becomes the root of the sandbox: empty but for mount points."""
        return self.shell / "root"

    @property
    def network(self) -> PurePosixPath:
        """Directory of what the network of the instance is made by; the instance does not see it."""
        return self.shell / "network"

    @property
    def uplink(self) -> PurePosixPath:
        """Directory of what makes that network while the gateway runs; the instance does not see it."""
        return self.scratch / "network"

    @property
    def log(self) -> PurePosixPath:
        """OpenClaw's own log file."""
        return self.state / "logs" / "gateway.log"


def host_paths(home: PurePosixPath, environ: Mapping[str, str]) -> HostPaths:
    """Return the user's directories from `home` and the XDG variables of `environ`.

    A relative XDG value is ignored, as the XDG base directory specification asks.
    """

    def directory(variable: str, default: str) -> PurePosixPath:
        value = PurePosixPath(environ.get(variable) or home / default)
        return value if value.is_absolute() else home / default

    paths = HostPaths(
        home=home,
        config_home=directory("XDG_CONFIG_HOME", ".config"),
        state_home=directory("XDG_STATE_HOME", ".local/state"),
        data_home=directory("XDG_DATA_HOME", ".local/share"),
    )
    for path in (home, paths.config_home, paths.state_home, paths.data_home):
        if any(ord(character) < _SPACE or ord(character) in _SURROGATES for character in str(path)):
            message = f"{str(path)!r} holds a control character or no text, which no unit file can name"
            raise Invalid(message, hint="set HOME and the XDG variables to other directories")
    return paths
