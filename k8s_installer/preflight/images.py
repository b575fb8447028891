"""Whether nodes can pull the images that the cluster runs with: which, and the shell that asks for them there. Pure.

Only an image that is not on the host yet is asked for, without credentials: a registry that wants some tells nothing.
A name without a registry, or of docker.io, is not asked for, because mirrors and search lists say where docker finds
it; nor is one behind the host's proxy, which docker may not use yet.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from k8s_installer.desired.proxies import bypass, inside, lies_in, registries
from k8s_installer.inventory import Cluster, Host, Role
from k8s_installer.preflight.model import WantedImage
from k8s_installer.preflight.tables import IMAGE_CONNECT_SECONDS, IMAGE_SECONDS
from k8s_installer.profiles import Profile
from k8s_installer.profiles import images as named

REFUSED = "Connection refused"
VERIFY = "images.verify"
_HUB = frozenset({"docker.io", "index.docker.io"})
_PAUSE_FLAG = "pod-infra-container-image"

# As docker does: TLS first, then plain HTTP if the registry is in `insecure-registry`. A token is no secret, for
# anybody gets it, but it stays out of the list of processes all the same.
_FUNCTIONS = f"""\
image_curl() {{
  curl -q -sSL -m {IMAGE_SECONDS} --connect-timeout {IMAGE_CONNECT_SECONDS} --noproxy '*' $trust "$@"
}}
image_get() {{
  got=$(image_curl -o /dev/null -D - -w '\\nanswer %{{http_code}}\\n' \\
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \\
    -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \\
    -H 'Accept: application/vnd.docker.distribution.manifest.v1+prettyjws' \\
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' \\
    -H 'Accept: application/vnd.oci.image.index.v1+json' "$@" 2>&1)
  ended=$?
  code=$(printf '%s\\n' "$got" | sed -n 's/^answer //p' | tail -n 1)
}}
image_words() {{
  printf '%s\\n' "$got" | sed -n 's/^curl: ([0-9]*) //p' | tail -n 1
}}
image_token() {{
  challenge=$(printf '%s\\n' "$got" | tr -d '\\r' | grep -i '^www-authenticate: bearer ' | tail -n 1)
  realm=$(printf '%s\\n' "$challenge" | sed -n 's/.*realm="\\([^"]*\\)".*/\\1/p')
  service=$(printf '%s\\n' "$challenge" | sed -n 's/.*service="\\([^"]*\\)".*/\\1/p')
  case $realm in
  http://* | https://*)
    image_curl -G --data-urlencode "service=$service" --data-urlencode "scope=repository:$1:pull" "$realm" 2>/dev/null |
      sed -n 's/.*"\\(access_\\)\\{{0,1\\}}token" *: *"\\([^"\\\\]*\\)".*/\\2/p' | head -n 1
    ;;
  esac
}}
ask_image() {{ # REFERENCE HOST PORT PATH NAME INSECURE
  command -v curl >/dev/null || return 0
  [ -z "$(timeout {IMAGE_SECONDS} docker images -q "$1" 2>/dev/null)" ] || return 0
  trust=
  [ "$6" = no ] && [ ! -d "/etc/docker/certs.d/${{4%%/*}}" ] || trust=-k
  url=https://$4
  image_get "$url"
  case $ended in
  0 | 6 | 28 | 51 | 60) ;;
  *)
    tls=$ended words=$(image_words)
    if [ $tls = 7 ]; then # newer curls do not tell a refusal from "no route"
      case $(timeout {IMAGE_CONNECT_SECONDS} bash -c "exec 3<>/dev/tcp/$2/$3" 2>&1) in
      *'{REFUSED}') words='{REFUSED}' ;;
      esac
    fi
    image_get "http://${{4%%/*}}/v2/"
    case $6$code in
    no200 | no401) echo "image $1 plain 0" && return ;;
    yes200 | yes401) url=http://$4 && image_get "$url" ;;
    *) echo "image $1 000 $tls $words" && return ;;
    esac
    ;;
  esac
  if [ "$code" = 401 ]; then
    token=$(image_token "$5")
    [ -n "$token" ] || return 0
    image_get -K - "$url" <<TOKEN
header = "Authorization: Bearer $token"
TOKEN
  fi
  echo "image $1 ${{code:-000}} $ended $(image_words)"
}}
"""


def wanted_images(cluster: Cluster, profile: Profile, host: Host) -> tuple[WantedImage, ...]:
    """The images that a node will pull and that it can be asked about; none where a bundle brings them."""
    if cluster.bundle or Role.NODE not in host.roles:
        return ()
    insecure = tuple(registries(host, profile, "registry"))
    found = []
    for key, reference in _references(cluster, profile, host):
        registry, slash, rest = reference.partition("/")
        if slash and (set(".:") & set(registry) or registry == "localhost") and registry not in _HUB:
            plain = _listed(registry, insecure)
            found.append(WantedImage(reference, key, registry, rest, plain, insecure))
    return tuple(image for image in found if not _by_proxy(cluster, profile, host, image.registry))


def _references(cluster: Cluster, profile: Profile, host: Host) -> Iterator[tuple[str, str]]:
    """Images, each after the key of the inventory that changes it."""
    tuning, spec = host.tuning.get("kubelet"), profile.dns.get(cluster.dns)
    if tuning is None or _PAUSE_FLAG not in tuning.args:
        yield "images.pause", named.pause(cluster, profile)
    for name, reference in named.of_dns(cluster, spec).items() if spec else ():
        yield f"images.dns.{name}", reference
    yield VERIFY, cluster.images.verify


def _by_proxy(cluster: Cluster, profile: Profile, host: Host, registry: str) -> bool:
    proxy = host.settings.proxy
    if proxy is None:
        return False
    direct = bypass(host, profile, inside(cluster.hosts, (), cluster.images))
    return not lies_in(f"https://{registry}", replace(proxy, bypass=direct))


def _listed(registry: str, insecure: Sequence[str]) -> bool:
    """Whether docker asks a registry without TLS: loopback, or one that its flags name."""
    name = registry.rpartition(":")[0] or registry
    return name == "localhost" or any(
        _within(name, place) if "/" in place else place == registry for place in ("127.0.0.0/8", *insecure)
    )


def _within(name: str, network: str) -> bool:
    try:
        return IPv4Address(name) in IPv4Network(network, strict=False)
    except ValueError:
        return False


def asking(images: Sequence[WantedImage]) -> str:
    """The functions, and a job in the background for each image; empty where there is none to ask for."""
    jobs = [shlex.join(["ask_image", *_arguments(image)]) + " &\n" for image in images]
    return "".join([_FUNCTIONS, *jobs]) if jobs else ""


def _arguments(image: WantedImage) -> tuple[str, ...]:
    host, _, port = image.registry.partition(":")
    path, tag = image.name.partition("@")[::2]
    path, _, version = path.partition(":")
    url = f"{image.registry}/v2/{path}/manifests/{tag or version or 'latest'}"
    return image.reference, host, port or "443", url, path, "yes" if image.insecure else "no"
