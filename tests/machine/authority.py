"""A company's authority in a machine, which trusts it, and a server's certificate of its."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine

FOLDER = "/tmp/authority"
# $1 is the server as openssl's subjectAltName has it.
SCRIPT = f"""
mkdir -p {FOLDER}
cd {FOLDER}
made="-days 2 -newkey rsa:2048 -nodes"
openssl req -x509 $made -keyout ca.key -out ca.pem -subj "/CN=Authority of a company"
echo "subjectAltName=$1" >extensions
openssl req -new $made -keyout key.pem -out request -subj /CN=models
openssl x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out leaf.pem
cat key.pem leaf.pem >server.pem
cp ca.pem /usr/local/share/ca-certificates/company.crt
update-ca-certificates
"""


def certify(machine: Machine, server: str) -> str:
    """Have the machine trust an authority; return the file with the key and the certificate of `server`.

    That is `DNS:NAME` or `IP:ADDRESS`.
    """
    machine.run(["bash", "-ec", SCRIPT, "bash", server], user="root")
    return f"{FOLDER}/server.pem"
