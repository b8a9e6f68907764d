"""How what is an instance's is called in a cluster, and where its pod has what."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from openclaw_ocm.core.image.contents import HOME
from openclaw_ocm.core.image.contents import STATE as STATE_PATH
from openclaw_ocm.core.paths import CONFIG_NAME, host_paths

if TYPE_CHECKING:
    from openclaw_ocm.core.names import InstanceName
    from openclaw_ocm.core.paths import InstancePaths

# Labels: which instance's an object is, and whose. Without them nothing is taken for OCM's.
INSTANCE, OWNER = "ocm.dev/instance", "ocm.dev/owner"
MANAGED_BY, OCM = "app.kubernetes.io/managed-by", "ocm"
COMPONENT = "app.kubernetes.io/component"
# Annotations: the owner in words, and of which manifest an object is.
OWNED_BY, MANIFEST = "ocm.dev/owned-by", "ocm.dev/manifest"
# Of the StatefulSet, its Service, its ServiceAccount, its container and its port.
GATEWAY = "gateway"
ENVIRONMENT, FIRST_CONFIG, PULL = "gateway-env", "gateway-config", "gateway-pull"
DEFAULT_DENY = "default-deny"
# Volumes of the pod; the first is of the claim of this name.
STATE, SCRATCH, CONFIG = "state", "scratch", "config"
PREPARATION = "prepare"
POD = f"{GATEWAY}-0"
# Of the pod that stands in for it, its container and its component.
STAND_IN = "volume"
# Of the pod for sessions while the gateway's does not run.
SESSION = "session"
# Directories in these volumes. The state lies below the root of its volume, as in a home: so it has the
# rights of its user alone and no lost+found, and another one beside it can take its place by a rename.
STATE_DIRECTORY = "state"
TEMPORARY, VAR_TEMPORARY, CACHE = "tmp", "var-tmp", "cache"

SHELL = "/bin/bash"
# Where what runs before the gateway finds the volumes.
VOLUME_ROOT, SCRATCH_ROOT = PurePosixPath("/volume"), PurePosixPath("/scratch")
CONFIG_ROOT = PurePosixPath("/config")

_PREFIX = "ocm-"
# A DNS label (RFC 1123): no underscore, which names of instances may have.
_MAX_LABEL, _DIGITS = 63, 10
_PLAIN = re.compile(rf"(?!.*-[0-9a-f]{{{_DIGITS}}}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_OWNER_DIGITS = 20


def namespace(name: InstanceName) -> str:
    """Return the namespace of an instance, another one for each name.

    One that is no DNS label, or too long for one, has its hash at the end; so has a name that ends alike.
    """
    if _PLAIN.fullmatch(name) and len(_PREFIX + name) <= _MAX_LABEL:
        return _PREFIX + name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
    kept = name.replace("_", "-")[: _MAX_LABEL - len(_PREFIX) - len(digest) - 1].rstrip("-")
    return f"{_PREFIX}{kept}-{digest}"


def owner_label(identity: str) -> str:
    """Return the value of the label that tells one OCM user's instances from another's.

    `identity` is any text that no other user of the cluster has.
    """
    return hashlib.sha256(identity.encode(errors="replace")).hexdigest()[:_OWNER_DIGITS]


def pod_paths(name: InstanceName) -> InstancePaths:
    """Return the paths of an instance in its pod; those of OCM's own there lead nowhere."""
    return replace(host_paths(HOME, {}).instance(name), state=STATE_PATH, config=STATE_PATH / CONFIG_NAME)
