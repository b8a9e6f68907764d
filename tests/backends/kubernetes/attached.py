"""A session in what serves as a kubelet: run by its tests as the program that it is elsewhere.

Its arguments are the URL and what is wanted, as JSON.
"""

from __future__ import annotations

import sys

import msgspec
from tests.backends.kubernetes.kubelet import Client

from openclaw_ocm.backends.kubernetes.attach import attach
from openclaw_ocm.backends.kubernetes.sessions import Wanted

if __name__ == "__main__":
    sys.exit(attach(Client(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Wanted)))
