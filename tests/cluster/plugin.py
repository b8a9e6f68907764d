"""What keeps to the NetworkPolicies of one namespace, as a network plugin does, for a cluster without one.

Each policy here says that nothing comes in, or nothing goes out: of the pods that it selects everything is
dropped that way, in their own networks.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cluster import Cluster
    from .place import Place

# Finds the network of a pod, $1, by its address, and has nothing pass its chain $2, or all of it again.
_RULES = """
for network in /run/netns/*; do
    if nsenter --net="$network" ip -oneline address | grep -q " inet $1/"; then
        nsenter --net="$network" iptables --flush "$2"
        test "$3" = open || nsenter --net="$network" iptables --append "$2" ! --in-interface lo --jump DROP
    fi
done
"""
_CHAINS = {"Ingress": "INPUT", "Egress": "OUTPUT"}
_PAUSE_SECONDS = 0.5


@contextlib.contextmanager
def enforcing(cluster: Cluster, namespace: str) -> Iterator[None]:
    """Have the policies of a namespace kept to, each a moment after it is made or removed."""
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(cluster, namespace, ended))
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _keep(cluster: Cluster, namespace: str, ended: threading.Event) -> None:
    set_: dict[tuple[str, str], bool] = {}
    while not ended.wait(_PAUSE_SECONDS):
        where = f"--namespace={namespace}"
        policies = cluster.get("networkpolicies", where)["items"]
        for pod in cluster.get("pods", where)["items"]:
            address = pod["status"].get("podIP")
            for way in _CHAINS if address else ():
                closed = any(_closes(policy["spec"], pod, way) for policy in policies)
                if set_.get((address, way), False) != closed:
                    set_[address, way] = closed
                    _set(cluster.nodes[pod["spec"]["nodeName"]], address, way, closed=closed)


def _closes(policy: dict[str, Any], pod: dict[str, Any], way: str) -> bool:
    wanted = policy["podSelector"].get("matchLabels", {}).items()
    return way in policy["policyTypes"] and wanted <= pod["metadata"]["labels"].items()


def _set(node: Place, address: str, way: str, *, closed: bool) -> None:
    rules = _RULES.replace("! --in-interface lo ", "") if way == "Egress" else _RULES
    node.run(["sh", "-euc", rules, "sh", address, _CHAINS[way], "closed" if closed else "open"])
