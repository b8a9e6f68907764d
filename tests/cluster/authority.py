"""The cluster's certificate authority, and kubeconfigs of who may ask its API server."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .place import Place

PKI = "/run/pki"
MAKE_SCRIPT = """
umask 077
mkdir -p /run/pki
cd /run/pki
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=cluster \\
    -days 30 -keyout ca.key -out ca.crt
openssl genrsa -out accounts.key 2048
openssl rsa -in accounts.key -pubout -out accounts.pub
"""
SIGN_SCRIPT = """
umask 077
cd /run/pki
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$1.key" -out "$1.csr"
printf '%s\\n' "$3" >"$1.ext"
openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \\
    -out "$1.crt" -extfile "$1.ext"
"""


class Authority:
    """Signs who is who, in the control plane's place."""

    def __init__(self, place: Place, server: str) -> None:
        self._place = place
        self._server = server
        place.run(["sh", "-euc", MAKE_SCRIPT])

    def sign(self, name: str, subject: str, *, names: str = "") -> None:
        """Make a key and a certificate `name`; `names` are those of a server, such as `IP:10.0.0.1`."""
        extension = f"subjectAltName={names}" if names else "extendedKeyUsage=clientAuth"
        self._place.run(["sh", "-euc", SIGN_SCRIPT, "sh", name, subject, extension])

    def read(self, name: str) -> str:
        return self._place.run(["cat", f"{PKI}/{name}"])

    def kubeconfig(self, name: str) -> str:
        """Return the kubeconfig of one who was signed, as JSON, which YAML is too."""
        cluster = {
            "server": self._server,
            "certificate-authority-data": encoded(self.read("ca.crt")),
        }
        user = {
            "client-certificate-data": encoded(self.read(f"{name}.crt")),
            "client-key-data": encoded(self.read(f"{name}.key")),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        return json.dumps(config, indent=1)


def encoded(content: str) -> str:
    return base64.b64encode(content.encode()).decode()
