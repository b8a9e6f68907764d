"""Builds and caches what a Kubernetes cluster is made of: Debian's own packages and its source of Kubernetes.

No registry of packages has a kube-apiserver. Debian 12 has its source with all that it needs beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.machine.image import Layer, debian_sources, ensure_layer

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "bookworm"
KUBERNETES = "1.20.2"
SOURCE = "1.20.5+really1.20.2-1.1+deb12u1"
NODE_PACKAGES = (
    *("etcd-server", "containerd", "runc", "containernetworking-plugins", "docker-registry"),
    *("iptables", "iproute2", "conntrack", "ethtool", "socat", "procps", "openssl", "busybox-static"),
    *("kubernetes-client", "mount"),
)
BUILD_PACKAGES = ("dpkg-dev", "golang-1.19-go", "golang-github-modern-go-reflect2-dev", "patch", "xz-utils")
PROGRAMS = (
    *("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy"),
)

# Its own way, by make, runs all generators again, for files which are there but for one. /tmp is small here.
KUBERNETES_SCRIPT = """
export DEBIAN_FRONTEND=noninteractive HOME=/root
sed --quiet 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get -qq update
list_packages() {{ dpkg-query --show --showformat '${{Package}}\\n' | sort; }}
list_packages >/root/before
apt-get -qq install --yes --no-install-recommends {packages}
mkdir -p /root/go/src/k8s.io
cd /root/go/src/k8s.io
apt-get -qq source kubernetes={source}
mv kubernetes-*/ kubernetes
cd kubernetes
# The one beside it breaks maps with Go 1.18 and later: the first custom resource ends the API server.
rm vendor/github.com/modern-go/reflect2/*.go
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.go vendor/github.com/modern-go/reflect2/
rm -f vendor/github.com/modern-go/reflect2/*_test.go
export PATH=/usr/lib/go-1.19/bin:$PATH GOPATH=/root/go GO111MODULE=off CGO_ENABLED=0
export GOCACHE=/root/go/cache GOTMPDIR=/root/go
tagged=$(grep -rl --include='*.go' '+k8s:openapi-gen=' pkg cmd staging/src/k8s.io |
    grep -v -e /code-generator/ -e /sample-apiserver/ | xargs --max-args=1 dirname | sort -u |
    sed 's|^staging/src|vendor|; s|^|k8s.io/kubernetes/|' | paste --serial --delimiters=,)
go run ./vendor/k8s.io/kube-openapi/cmd/openapi-gen --input-dirs "$tagged" \\
    --output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \\
    --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt \\
    --report-filename /root/violations
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for known in gitVersion=v{version} gitMajor=1 gitMinor=20; do
        flags="$flags -X k8s.io/kubernetes/vendor/$package.$known"
    done
done
go build -ldflags "$flags" -o /usr/local/bin/ {programs}
cd /
list_packages | comm -13 /root/before - | xargs apt-get -qq purge --yes
apt-get clean
rm -rf /root/go /root/before /root/violations /root/.cache
rm -rf /var/lib/apt/lists/* /etc/apt/sources.list.d/source.list
kubelet --version | grep -Fx 'Kubernetes v{version}'
"""

NODES_SCRIPT = """
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --yes --no-install-recommends {packages}
apt-get clean
rm -rf /var/lib/apt/lists/*
"""


def layers() -> Layer:
    """Return the topmost layer of the file system in which all of the cluster runs.

    What takes long to build depends on least.
    """
    debian = Layer(
        RELEASE, "minimal", "apt-get clean", bootstrap=("ca-certificates", *debian_sources(RELEASE))
    )
    build = KUBERNETES_SCRIPT.format(
        packages=" ".join(BUILD_PACKAGES),
        source=SOURCE,
        version=KUBERNETES,
        programs=" ".join(f"./cmd/{program}" for program in PROGRAMS),
    )
    kubernetes = Layer(RELEASE, "kubernetes", build, below=debian)
    return Layer(RELEASE, "nodes", NODES_SCRIPT.format(packages=" ".join(NODE_PACKAGES)), below=kubernetes)


def ensure_file_system() -> tuple[Path, ...]:
    """Return the layers of that file system, topmost first, built now where they are not cached yet."""
    top = layers()
    for layer in reversed(top.stack):
        ensure_layer(layer)
    return tuple(layer.path for layer in top.stack)
