"""What a program is told to read is there for it: every path of its flags, kubeconfigs and configuration files.

Who reads is what the packaged unit says (`User=`); which flags it passes, its `ExecStart`. The units are those that the
lab packs, which are CentOS 7's (kubernetes-1.5.2-0.7.git269f928.el7, etcd-3.3.11).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from k8s_installer import pki, profiles
from k8s_installer.desired import Desired, desire
from k8s_installer.inventory import Cluster, Role
from k8s_installer.model.resources import File, Gate, Kind, Ref, Unit
from k8s_installer.pki.certificates import read_key
from k8s_installer.render import Renderer
from tests.unit.clusters import MODES, TOPOLOGIES, cluster, leaves, placeholder
from tests.unit.test_flags import UNITS, command, environment

PACKAGED = Path(profiles.__file__).parents[1] / "lab" / "data" / "rpms"
PROGRAMS = {**dict.fromkeys(UNITS, "kubernetes"), "etcd": "etcd"}
TLS = [version for version, security in MODES if security == "tls"]
every_mode = pytest.mark.parametrize(("version", "security"), MODES)
every_topology = pytest.mark.parametrize("topology", TOPOLOGIES)
# Flags whose value is a place that the program makes or looks into, not a file that it is given.
OWN_PLACES = {"data-dir"}
FITS = {
    "bool": r"true|false",
    "int": r"-?\d+",
    "int32": r"-?\d+",
    "uint": r"\d+",
    "Level": r"\d+",
    "ip": r"\d+(\.\d+){3}",
    "ipNet": r"\d+(\.\d+){3}/\d+",
    "string": r"\S+",
    "stringSlice": r"[^\s,]+(,[^\s,]+)*",
    "stringArray": r"\S+",
    "ProxyMode": r"iptables|userspace",
}


def packaged_unit(program: str) -> dict[str, list[str]]:
    """The settings of a packaged unit, by name."""
    text = (PACKAGED / PROGRAMS[program] / "usr/lib/systemd/system" / f"{program}.service").read_text(encoding="utf-8")
    settings: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        name, _, value = line.partition("=")
        settings.setdefault(name, []).append(value)
    return settings


@dataclass(frozen=True)
class Fleet:
    """A cluster, what is wanted of it, and its keys."""

    cluster: Cluster
    wanted: Desired
    keys: pki.Pki

    @classmethod
    def of(cls, lab: Cluster, keys: pki.Pki | None = None) -> Fleet:
        keys = keys or placeholder(lab)
        return cls(lab, desire(lab, profiles.profile_of(lab), keys, Renderer()), keys)

    def programs(self) -> list[tuple[str, str]]:
        """Each host with each program that it runs."""
        return [
            (ref.host, ref.name)
            for ref, item in self.wanted.items()
            if isinstance(item.resource, Unit) and ref.name in PROGRAMS
        ]

    def file(self, host: str, path: str) -> File:
        resource = self.wanted[Ref(host, Kind.FILE, path)].resource
        assert isinstance(resource, File)
        return resource

    def flags(self, host: str, program: str) -> dict[str, str]:
        """What a program is started with, by flag."""
        if program == "etcd":
            settings = environment(self.file(host, "/etc/etcd/etcd.conf"))
            return {name.removeprefix("ETCD_").lower().replace("_", "-"): value for name, value in settings.items()}
        words = command(self.wanted, host, program)
        return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in words)}

    def document(self, host: str, path: str) -> dict[str, Any]:
        data = yaml.safe_load(self.file(host, path).content)
        assert isinstance(data, dict)
        return data

    def paths(self, host: str, program: str) -> set[str]:
        """The paths that a program is given: by flags, and by the YAML files that flags name."""
        given = {
            value
            for flag, value in self.flags(host, program).items()
            if value.startswith("/") and flag not in OWN_PLACES
        }
        documents = [path for path in given if path.endswith((".kubeconfig", ".yaml"))]
        return given.union(*(_paths(self.document(host, path)) for path in documents))

    def certificate(self, host: str, path: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.file(host, path).content)


def _paths(value: object) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_paths, value.values()))
    if isinstance(value, list):
        return set().union(*map(_paths, value))
    return {value} if isinstance(value, str) and value.startswith("/") else set()


@pytest.mark.parametrize("program", UNITS)
def test_the_variables_that_these_tests_join_are_those_of_the_packaged_unit(program: str) -> None:
    own, names = UNITS[program]
    unit = packaged_unit(program)
    assert unit["EnvironmentFile"] == ["-/etc/kubernetes/config", f"-/etc/kubernetes/{own}"]
    passed = [name if name.startswith("KUBELET") else f"KUBE_{name}" for name in names.split()]
    assert shlex.split(unit["ExecStart"][0]) == [f"/usr/bin/{program}", *(f"${name}" for name in passed)]


@every_topology
@every_mode
def test_every_value_of_a_flag_is_of_the_flag_s_type(version: str, security: str, topology: str) -> None:
    fleet = Fleet.of(cluster(version, security, topology))
    types = profile_types(version)
    for host, program in fleet.programs():
        for flag, value in fleet.flags(host, program).items():
            kind = types[program][flag] if program in types else "string"
            assert re.fullmatch(FITS[kind], value), (host, program, flag, kind, value)


def profile_types(version: str) -> dict[str, dict[str, str]]:
    path = Path(profiles.__file__).parent / "flags" / f"{version}.json"
    flags: dict[str, dict[str, dict[str, str]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {program: {name: flag["type"] for name, flag in known.items()} for program, known in flags.items()}


@every_topology
@every_mode
def test_every_file_that_a_program_is_given_is_there_and_the_program_may_read_it(
    version: str, security: str, topology: str
) -> None:
    fleet = Fleet.of(cluster(version, security, topology))
    for host, program in fleet.programs():
        reader = packaged_unit(program).get("User", ["root"])[0]
        unit = fleet.wanted[Ref(host, Kind.UNIT, program)].resource
        assert isinstance(unit, Unit)
        for path in fleet.paths(host, program):
            file = fleet.file(host, path)
            assert file.mode & 0o400, path
            assert reader in ("root", file.owner) or file.mode & 0o004, (host, program, path)
            assert path in unit.reads, f"{program} does not restart when {path} changes"


@every_topology
@every_mode
def test_every_key_and_certificate_on_a_host_is_used_there(version: str, security: str, topology: str) -> None:
    fleet = Fleet.of(cluster(version, security, topology))
    used = {Ref(host, Kind.FILE, path) for host, program in fleet.programs() for path in fleet.paths(host, program)}
    for ref, item in fleet.wanted.items():
        if isinstance(item.resource, Gate):
            used |= {
                Ref(ref.host, Kind.FILE, path) for path in (item.resource.ca, item.resource.cert, item.resource.key)
            }
    there = {ref for ref, item in fleet.wanted.items() if isinstance(item.resource, File) and "/pki/" in ref.name}
    assert there <= used


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fleet]:
    """The fleets of all versions with real certificates; three etcd members, two masters, a node."""
    folder = tmp_path_factory.mktemp("pki")
    keys = pki.ensure(folder, leaves(cluster(TLS[0], topology="etcd-apart")))
    return {version: Fleet.of(cluster(version, topology="etcd-apart"), keys) for version in TLS}


every_version = pytest.mark.parametrize("version", TLS)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def require(  # what whoever checks the certificate goes by
    certificate: x509.Certificate, authority: x509.Certificate, usage: x509.ObjectIdentifier, *names: str
) -> None:
    certificate.verify_directly_issued_by(authority)
    assert usage in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if names:
        there = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {*there.get_values_for_type(x509.DNSName), *map(str, there.get_values_for_type(x509.IPAddress))}
        assert set(names) <= known


def place(url: str) -> str:
    return urlsplit(url).hostname or ""


@every_version
def test_every_certificate_on_a_host_stands_beside_its_own_key(made: dict[str, Fleet], version: str) -> None:
    fleet = made[version]
    there = {ref for ref, item in fleet.wanted.items() if isinstance(item.resource, File)}
    for ref in there:
        key = Ref(ref.host, Kind.FILE, ref.name.removesuffix(".crt") + ".key")
        if ref.name.endswith(".crt") and key in there:
            public = read_key(fleet.file(ref.host, key.name).content).public_key()
            assert public == fleet.certificate(ref.host, ref.name).public_key()


@every_version
def test_an_etcd_member_is_known_by_every_name_that_clients_and_members_use(
    made: dict[str, Fleet], version: str
) -> None:
    fleet = made[version]
    for host in fleet.cluster.having(Role.ETCD):
        flags = fleet.flags(host.name, "etcd")
        urls = [*flags["listen-client-urls"].split(","), flags["advertise-client-urls"]]
        peers = [flags["initial-advertise-peer-urls"], flags["listen-peer-urls"]]
        authority = fleet.certificate(host.name, flags["trusted-ca-file"])
        require(fleet.certificate(host.name, flags["cert-file"]), authority, SERVER, *map(place, urls))
        authority = fleet.certificate(host.name, flags["peer-trusted-ca-file"])
        for usage in (SERVER, CLIENT):
            require(fleet.certificate(host.name, flags["peer-cert-file"]), authority, usage, *map(place, peers))


@every_version
def test_the_apiserver_is_known_by_etcd_and_by_kubelets_and_knows_them(made: dict[str, Fleet], version: str) -> None:
    fleet = made[version]
    for master in fleet.cluster.having(Role.MASTER):
        flags = fleet.flags(master.name, "kube-apiserver")
        for member in fleet.cluster.having(Role.ETCD):
            theirs = fleet.flags(member.name, "etcd")
            authority = fleet.certificate(member.name, theirs["trusted-ca-file"])
            require(fleet.certificate(master.name, flags["etcd-certfile"]), authority, CLIENT)
            authority = fleet.certificate(master.name, flags["etcd-cafile"])
            assert member.address in [place(url) for url in flags["etcd-servers"].split(",")]
            require(fleet.certificate(member.name, theirs["cert-file"]), authority, SERVER, member.address)
        for node in fleet.cluster.having(Role.NODE):
            serving, trusted = kubelet_files(fleet, node.name)
            authority = fleet.certificate(node.name, trusted)
            require(fleet.certificate(master.name, flags["kubelet-client-certificate"]), authority, CLIENT)
            authority = fleet.certificate(master.name, flags["kubelet-certificate-authority"])
            # the node's address is what it asks (InternalIP), its name the second choice (Hostname)
            require(fleet.certificate(node.name, serving), authority, SERVER, node.address, node.name)


def kubelet_files(fleet: Fleet, host: str) -> tuple[str, str]:
    """The kubelet's own certificate as a server, and the CA of its clients."""
    flags = fleet.flags(host, "kubelet")
    if "config" not in flags:
        return flags["tls-cert-file"], flags["client-ca-file"]
    config = fleet.document(host, flags["config"])
    return config["tlsCertFile"], config["authentication"]["x509"]["clientCAFile"]


@every_version
def test_whoever_asks_the_apiserver_knows_it_and_is_known(made: dict[str, Fleet], version: str) -> None:
    fleet = made[version]
    by_address = {host.address: host.name for host in fleet.cluster.hosts}
    asking = [
        (ref.host, ref.name)
        for ref in fleet.wanted
        if ref.kind is Kind.FILE and ref.name.endswith((".kubeconfig", "/.kube/config"))
    ]
    assert len(asking) == 2 * 3 + 2  # two masters: administrator, controller-manager, scheduler; a node: kubelet, proxy
    for host, path in asking:
        document = fleet.document(host, path)
        server, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        master = by_address[place(server["server"])]
        flags = fleet.flags(master, "kube-apiserver")
        assert server["server"].endswith(f":{flags['secure-port']}")
        authority = fleet.certificate(host, server["certificate-authority"])
        service = "kubernetes.default.svc"
        names = [place(server["server"]), "127.0.0.1", "kubernetes", service, f"{service}.cluster.local", "10.254.0.1"]
        require(fleet.certificate(master, flags["tls-cert-file"]), authority, SERVER, *names)
        authority = fleet.certificate(master, flags["client-ca-file"])
        certificate = fleet.certificate(host, user["client-certificate"])
        require(certificate, authority, CLIENT)
        assert user["client-key"] == user["client-certificate"].removesuffix(".crt") + ".key"
        if "authorization-policy-file" in flags:
            assert named(fleet.file(master, flags["authorization-policy-file"]), certificate), path


def named(policy: File, certificate: x509.Certificate) -> bool:
    """Whether a policy file of ABAC has lines for the bearer, by user (CN) or group (O); test_abac.py judges them."""
    who = {
        name: {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)}
        for name, oid in (("user", NameOID.COMMON_NAME), ("group", NameOID.ORGANIZATION_NAME))
    }
    lines = [line for line in policy.content.decode().splitlines() if not line.startswith("#")]
    specs = [yaml.safe_load(line)["spec"] for line in lines]
    return any(spec.get(kind) in names for spec in specs for kind, names in who.items())


@every_version
def test_what_the_controller_manager_signs_every_apiserver_can_check(made: dict[str, Fleet], version: str) -> None:
    fleet = made[version]
    masters = [host.name for host in fleet.cluster.having(Role.MASTER)]
    public = {
        read_key(
            fleet.file(
                master, fleet.flags(master, "kube-controller-manager")["service-account-private-key-file"]
            ).content
        )
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for master in masters
    }
    checking = {
        load_pem_public_key(
            fleet.file(master, fleet.flags(master, "kube-apiserver")["service-account-key-file"]).content
        ).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for master in masters
    }
    assert public == checking
    assert len(public) == 1
