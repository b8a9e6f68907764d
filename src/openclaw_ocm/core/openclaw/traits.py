"""What OpenClaw 2026.9.6 needs, takes and does, on which rules of OCM rest: look again with another one."""

from __future__ import annotations

import re

# Below this it does not become ready (0.54 GB at idle, 1.2 GB after an agent turn).
MINIMUM_MEMORY = 768 * 2**20
# It falls back to a CDP range shared by all instances when base+110 passes 65535.
LAST_PORT = 65425
# It drains for up to 325 s. In its sandbox it cannot ask systemd for the stop timeout: where it finds its
# unit in /proc/self/cgroup it assumes 90 s, elsewhere 330 s (dist/run-*.mjs, readSystemdStopTimeout).
STOP_TIMEOUT_SECONDS = 330
# What is hard to guess enough for gateway.auth.token, in hexadecimal digits twice as many.
TOKEN_BYTES = 32
# It begins a line with `2026-11-22T14:55:23.785+00:00`, but for the tail of a broken one.
LINE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)(Z|[+-]\d\d:\d\d)\b")
# What it takes for the id of an environment secret (docs/gateway/secrets).
SECRET_ID = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
