"""A first inventory from addresses: what is typed, what hosts answer, what is chosen, and the text of it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from k8s_installer import draft, profiles
from k8s_installer.draft import Checks, Choices, Draft, Facts, Machine, Source, Target, choose
from k8s_installer.errors import InputError
from k8s_installer.flows import resolve
from k8s_installer.inventory import Cluster, Role, parse
from k8s_installer.profiles import images
from k8s_installer.untrusted.answers import Malformed

KNOWN = profiles.available()
ANSWER = """\
os NAME="CentOS Linux"
os ID="centos"
os VERSION_ID="7"
os PRETTY_NAME="CentOS Linux 7 (Core)"
hostname node-a.example.com
machine x86_64
address 1: lo    inet 127.0.0.1/8 scope host lo
address 2: eth0    inet 10.0.0.11/24 brd 10.0.0.255 scope global eth0
device eth0
container
rpm docker 1.13.1
cluster old
yum Available Packages
yum etcd.x86_64 3.3.11-2.el7 extras
yum kubernetes-master.x86_64 1.5.2-0.7.git269f928.el7 extras
end-of-init
"""
OFFERED = {"etcd": frozenset({"3.3.11"}), "docker": frozenset({"1.13.1"}), "kubernetes-master": frozenset({"1.5.2"})}
CHOICES = Choices("lab", "1.5.2", "routes", 1, 1, None)
SUM = "0" * 64


def facts(address: str = "10.0.0.11", hostname: str = "", **changes: object) -> Facts:
    """A CentOS 7 host whose yum finds everything."""
    networks = (("lo", IPv4Interface("127.0.0.1/8")), ("eth0", IPv4Interface(f"{address}/24")))
    plain = Facts(hostname, "CentOS Linux 7 (Core)", True, networks, "eth0", False, {}, OFFERED, ())
    return replace(plain, **changes)  # type: ignore[arg-type]


def machines(*typed: str, answers: Mapping[str, Facts] | None = None) -> list[Machine]:
    return [Machine(target, (answers or {}).get(target.address)) for target in draft.targets(typed)]


def count(number: int) -> list[Machine]:
    return machines(*(f"10.0.0.{11 + index}" for index in range(number)))


def made(*typed: str, choices: Choices = CHOICES, answers: Mapping[str, Facts] | None = None) -> Draft:
    return draft.made(machines(*typed, answers=answers), choices, {})


def written(found: Draft) -> tuple[str, Cluster]:
    """The text of a draft, and what it says: it must be valid, whatever it is."""
    text = draft.text(found, profiles.load(found.choices.version), KNOWN, "lab.yaml")
    cluster, _ = resolve.accepted(parse(text, Path("/nowhere/lab.yaml")))
    return text, cluster


# what is typed


def test_hosts_are_read_from_text_with_comments() -> None:
    assert draft.words("10.0.0.11  op@b # the second\n# none\n\nc:2222\n") == ["10.0.0.11", "op@b", "c:2222"]


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("10.0.0.11", Target("10.0.0.11", address="10.0.0.11")),
        ("op@10.0.0.11:2222", Target("10.0.0.11", "op", 2222, "10.0.0.11")),
        ("me@there@node1.example.com", None),
        ("op@node-1.example.com", Target("node-1.example.com", "op")),
        ("Node1:22", Target("Node1", port=22)),
    ],
)
def test_a_host_is_user_address_and_port(typed: str, target: Target | None) -> None:
    if target is None:
        with pytest.raises(InputError, match="the user name before @"):
            draft.targets([typed])
    else:
        assert draft.targets([typed]) == (target,)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("@10.0.0.11", "the user name before @ is missing, or no name"),
        ("fe80::1", "IPv6 is not supported"),
        ("[::1]:22", "IPv6 is not supported"),
        ("10.0.0.11:", "the port must be a number from 1 to 65535"),
        ("10.0.0.11:0", "the port must be a number from 1 to 65535"),
        ("10.0.0.11:65536", "the port must be a number from 1 to 65535"),
        ("10.0.0.11:ssh", "the port must be a number from 1 to 65535"),
        ("10.0.0.256", "is not an IPv4 address"),
        ("10.0.0", "is not an IPv4 address"),
        ("10.0.0.0/24", "is neither an IPv4 address nor a host name"),
        ("a..b", "is neither an IPv4 address nor a host name"),
        ("", "is neither an IPv4 address nor a host name"),
    ],
)
def test_what_is_no_host_is_told_with_all_other_mistakes(typed: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        draft.targets([typed, "10.0.0.12", "a b"])
    first, second = raised.value.message.splitlines()
    assert first.startswith(f"{typed}: {words}")
    assert second == "a b: is neither an IPv4 address nor a host name"


def test_no_hosts_are_a_mistake() -> None:
    with pytest.raises(InputError, match="name at least one"):
        draft.targets([])


def test_an_address_that_is_given_twice_is_told_once() -> None:
    same = Target("10.0.0.11", address="10.0.0.11")
    draft.distinct([same, Target("b", address="10.0.0.12")])
    with pytest.raises(InputError) as raised:
        draft.distinct([same, replace(same), Target("a", port=22, address="10.0.0.11"), replace(same)])
    assert raised.value.message.splitlines() == [
        "10.0.0.11 is given twice",
        "10.0.0.11 is given twice (10.0.0.11 and a:22)",
    ]


# what hosts answer


def test_an_answer_is_read() -> None:
    found = draft.parse(ANSWER)
    assert found is not None
    assert (found.hostname, found.system, found.centos) == ("node-a.example.com", "CentOS Linux 7 (Core)", True)
    assert (found.device, found.container, found.clusters) == ("eth0", True, ("old",))
    assert found.networks[1] == ("eth0", IPv4Interface("10.0.0.11/24"))
    assert found.installed == {"docker": "1.13.1"}
    assert found.offered == {"etcd": frozenset({"3.3.11"}), "kubernetes-master": frozenset({"1.5.2"})}


def test_a_bare_answer_is_one_and_half_an_answer_is_none() -> None:
    assert draft.parse("end-of-init\n") == Facts("", "", False, (), "", False, {}, {}, ())
    assert draft.parse(ANSWER.partition("yum")[0]) is None
    with pytest.raises(Malformed):
        draft.parse("rpm docker\nend-of-init\n")


# what is chosen


@pytest.mark.parametrize(
    ("output", "name"),
    [(None, "kubernetes"), ("cluster.yaml", "kubernetes"), ("prod.yaml", "prod"), ("Prod 1.yaml", "kubernetes")],
)
def test_a_cluster_is_called_like_its_file(output: str | None, name: str) -> None:
    assert choose.suggested_name(Path(output) if output else None) == name


@pytest.mark.parametrize(
    ("answers", "tarball", "version"),
    [
        ([], False, "1.5.2"),
        ([], True, "1.20.2"),
        ([facts()], False, "1.5.2"),
        ([facts(offered={})], False, "1.5.2"),
        ([facts(installed={"kubernetes-node": "1.20.4"}), facts()], False, "1.20.4"),
        ([facts(installed={"kubernetes": "1.2.0"}), facts()], False, "1.5.2"),  # that has no profile
        ([facts(installed={"kubernetes": "1.5.2"}), facts(installed={"kubernetes": "1.20.2"})], False, "1.5.2"),
        ([facts(offered={"kubernetes-master": frozenset({"1.5.2", "1.20.2", "1.20.15", "2.0"})})], False, "1.20.15"),
        (
            [
                facts(offered={"kubernetes-master": frozenset({"1.5.2", "1.20.2"})}),
                facts(offered={"kubernetes-master": frozenset({"1.5.2"})}),
            ],
            False,
            "1.5.2",
        ),
    ],
)
def test_the_version_is_what_hosts_have_or_offer(answers: Sequence[Facts], tarball: bool, version: str) -> None:  # noqa: FBT001 - a table
    assert draft.suggested_version(answers, KNOWN, tarball=tarball) == version


def test_routes_need_one_network() -> None:
    both = ["10.0.0.11", "10.0.1.12"]
    assert draft.suggested_network([], both) == "routes"
    assert draft.suggested_network([facts("10.0.0.11"), facts("10.0.1.12")], both) == "flannel"
    assert draft.suggested_network([facts("10.0.0.11"), facts("10.0.0.12")], ["10.0.0.11", "10.0.0.12"]) == "routes"
    assert draft.suggested_network([facts("10.0.0.11")], ["203.0.113.1"]) == "flannel"  # who knows


def test_masters_and_members() -> None:
    assert [choose.suggested_masters(count) for count in (1, 2, 3, 5, 6, 100)] == [1, 1, 1, 1, 3, 3]
    assert [choose.suggested_members(masters) for masters in (1, 2, 3, 4, 5, 9)] == [1, 1, 3, 3, 5, 5]


def test_what_may_be_chosen_is_given_back() -> None:
    checks = Checks(3)
    assert (checks.name("lab"), checks.network("flannel"), checks.masters("3"), checks.members("3")) == (
        "lab", "flannel", 3, 3,
    )  # fmt: skip
    assert [checks.version(version) for version in ("1.5.2", "v1.20.2", "1.20.15")] == ["1.5.2", "1.20.2", "1.20.15"]
    assert [checks.registry(typed) for typed in ("registry.k8s.io", "a:5000/b/")] == ["", "a:5000/b"]
    assert [checks.insecure(typed) for typed in ("y", "Yes", "n", "no")] == [False, False, True, True]
    assert Checks(3, tarball=True).version("1.9.4") == "1.9.4"


@pytest.mark.parametrize(
    ("what", "typed", "words"),
    [
        ("name", "Lab", "name 'Lab': use at most 63 lowercase letters"),
        ("network", "flanel", "network 'flanel': use routes, flannel or none"),
        ("version", "1.20", "unknown Kubernetes version 1.20: profiles exist for 1.5.2"),
        ("version", "1.9.4", "Kubernetes 1.9.4 is installed from upstream's tarball"),
        ("masters", "0", "masters '0': use a number from 1 to 3"),
        ("masters", "4", "masters '4': use a number from 1 to 3"),
        ("registry", "http://a/", "registry 'http://a/': must be a registry such as"),
        ("insecure", "maybe", "'maybe': use yes or no"),
        ("masters", "three", "masters 'three': use a number from 1 to 3"),
        ("members", "2", "etcd '2': use 1 or 3"),
        ("members", "5", "etcd '5': use 1 or 3"),
    ],
)
def test_what_may_not_be_chosen_is_told(what: str, typed: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        getattr(Checks(3), what)(typed)
    assert raised.value.message.startswith(words)


def test_a_version_without_a_tarball_is_not_installed_from_one() -> None:
    with pytest.raises(InputError, match="is installed from packages"):
        Checks(3, tarball=True).version("1.5.2")


# hosts and choices together


@pytest.mark.parametrize(
    ("hosts", "masters", "members", "roles"),
    [
        (1, 1, 1, ["etcd master node"]),
        (2, 1, 1, ["etcd master", "node"]),
        (3, 3, 3, ["etcd master node"] * 3),
        (4, 2, 1, ["etcd master", "master", "node", "node"]),
        (4, 1, 3, ["etcd master", "etcd node", "etcd node", "node"]),
    ],
)
def test_the_first_hosts_are_masters(hosts: int, masters: int, members: int, roles: list[str]) -> None:
    found = draft.made(count(hosts), replace(CHOICES, masters=masters, members=members), {})
    assert [" ".join(host.roles) for host in found.hosts] == roles
    assert found.having(Role.MASTER) == masters
    written(found)


def test_hosts_without_a_name_are_numbered_and_names_are_kept() -> None:
    typed = [
        Target(host, address=f"10.0.0.{number}")
        for number, host in enumerate(["10.0.0.0", "n2.a", "X_1.a", "localhost", "y.b"])
    ]
    answers = [None, None, None, None, facts("10.0.0.4", "mine.example.com")]
    found = draft.made(list(map(Machine, typed, answers)), CHOICES, {})
    assert [host.name for host in found.hosts] == ["m1", "n2", "x-1", "n3", "mine"]


def test_a_name_that_several_hosts_have_is_nobodys() -> None:
    answers = {address: facts(address, "localhost.localdomain") for address in ("10.0.0.11", "10.0.0.12")}
    assert [host.name for host in made(*answers, answers=answers).hosts] == ["m1", "n1"]
    answers = {address: facts(address, "centos") for address in ("10.0.0.11", "10.0.0.12")}
    found = made(*answers, answers=answers)
    assert [host.name for host in found.hosts] == ["m1", "n1"]
    assert found.warnings[0].startswith("2 hosts call themselves centos")


def test_users_and_ports_that_most_hosts_have_are_those_of_all() -> None:
    found = made("op@10.0.0.11:2222", "op@10.0.0.12:2222", "10.0.0.13", "op@10.0.0.14", "x.y@10.0.0.15:2222")
    text, cluster = written(found)
    assert [(host.ssh.user, host.ssh.port) for host in cluster.hosts] == [
        ("op", 2222), ("op", 2222), ("root", 22), ("op", 22), ("x.y", 2222),
    ]  # fmt: skip
    assert "  port: 2222\n" in text


def test_names_that_yaml_would_take_for_something_else_are_quoted() -> None:
    typed = [Target(f"{host}.a", user, address=f"10.0.0.{number}") for number, (host, user) in enumerate(
        [("on", "null"), ("1e3", "a:b"), ("null", '"'), ("x", "#y")], 1)]  # fmt: skip
    _, cluster = written(draft.made([Machine(target) for target in typed], replace(CHOICES, name="123"), {}))
    assert cluster.name == "123"
    assert [(host.name, host.ssh.user) for host in cluster.hosts] == [
        ("on", "null"), ("1e3", "a:b"), ("null", '"'), ("x", "#y"),
    ]  # fmt: skip


def test_what_a_host_is_like_stands_beside_it_on_one_line() -> None:
    odd = facts("10.0.0.12", system="A\n\x1b[2J" + "x" * 80, installed={"docker": "1.13.1", "etcd": "3.3.11"})
    found = made("10.0.0.11", "10.0.0.12", answers={"10.0.0.11": facts(system=""), "10.0.0.12": odd})
    assert [host.note for host in found.hosts] == [
        "unknown system",
        "A \\x1b[2J" + "x" * 51 + "...; has etcd 3.3.11, docker 1.13.1",
    ]
    text, _ = written(found)
    assert "# unknown system\n" in text


def test_one_host_by_two_addresses_is_one() -> None:
    both = (("eth0", IPv4Interface("10.0.0.11/24")), ("eth1", IPv4Interface("10.0.0.12/24")))
    with pytest.raises(InputError, match=r"10\.0\.0\.11 and 10\.0\.0\.12 are the same host"):
        made(
            "10.0.0.11", "10.0.0.12", answers={address: facts(networks=both) for address in ("10.0.0.11", "10.0.0.12")}
        )


def test_behind_nat_a_host_has_its_own_address_and_the_reader_is_told() -> None:
    several = (("eth1", IPv4Interface("172.16.0.5/24")), ("eth0", IPv4Interface("10.0.0.11/24")))
    found = made("203.0.113.1:2222", answers={"203.0.113.1": facts(networks=several)})
    assert (found.hosts[0].address, found.port) == ("10.0.0.11", 22)
    assert found.warnings[0].startswith(
        "203.0.113.1 is not an address of that host itself: the inventory has 10.0.0.11"
    )
    found = made("203.0.113.1", answers={"203.0.113.1": facts(networks=several, device="")})
    assert found.hosts[0].address == "172.16.0.5"  # the first one, where there is no default route
    found = made("203.0.113.1", answers={"203.0.113.1": facts(networks=())})
    assert (found.hosts[0].address, found.warnings) == ("203.0.113.1", ())


def test_networks_that_hosts_are_in_are_left_alone() -> None:
    assert [str(made("10.0.0.11").pods), str(made("10.0.0.11").services)] == ["10.244.0.0/16", "10.254.0.0/16"]
    found = made("10.254.0.11")
    assert [str(found.pods), str(found.services)] == ["10.244.0.0/16", "172.24.0.0/16"]
    wide = (("eth0", IPv4Interface("10.0.0.11/8")), ("docker0", IPv4Interface("172.24.0.1/16")))
    found = made("10.0.0.11", answers={"10.0.0.11": facts(networks=wide)})
    assert [str(found.pods), str(found.services)] == ["172.24.0.0/16", "172.25.0.0/16"]
    everything = (("eth0", IPv4Interface("10.0.0.11/0")),)
    found = made("10.0.0.11", answers={"10.0.0.11": facts(networks=everything)})
    assert [str(found.pods), str(found.services)] == ["10.244.0.0/16", "10.254.0.0/16"]


def test_repositories_stay_where_yum_finds_everything() -> None:
    assert made("10.0.0.11").vault  # nobody was asked
    assert not made("10.0.0.11", answers={"10.0.0.11": facts()}).vault
    found = made("10.0.0.11", answers={"10.0.0.11": facts(offered={})})
    assert (found.vault, found.warnings) == (True, ())
    found = made("10.0.0.11", answers={"10.0.0.11": facts(offered={}, centos=False)})
    assert (found.vault, len(found.warnings)) == (False, 1)


def test_a_version_that_yum_does_not_find_is_told() -> None:
    newer = replace(CHOICES, version="1.20.2")
    assert made("10.0.0.11", choices=newer).warnings == ()
    found = made("10.0.0.11", choices=newer, answers={"10.0.0.11": facts(hostname="a")})
    assert found.warnings == (
        "a: yum does not find etcd, docker and kubernetes-master 1.20.2 there: add a repository that has them, or use --tarball FILE",
    )
    tarball = replace(newer, source=Source("/k.tar.gz", SUM))
    assert made("10.0.0.11", choices=tarball, answers={"10.0.0.11": facts()}).warnings == ()
    found = made("10.0.0.11", choices=tarball, answers={"10.0.0.11": facts(hostname="a", offered={}, centos=False)})
    assert found.warnings == ("a: yum does not find etcd and docker there: add a repository that has them",)


def test_a_host_of_another_cluster_is_told() -> None:
    found = made("10.0.0.11", answers={"10.0.0.11": facts(hostname="a", clusters=("old",))})
    assert found.warnings == ("a: k8s-installer has made the cluster old there, from another inventory",)


# the text


def test_flags_that_containers_and_docker_itself_need() -> None:
    newer = {**OFFERED, "docker": frozenset({"20.10.5"})}
    found = made("10.0.0.11", answers={"10.0.0.11": facts(container=True, offered=newer)})
    text, cluster = written(found)
    assert "\ncomponents:\n" in text
    assert cluster.hosts[0].tuning["docker"].args == {"signature-verification": None}
    assert cluster.hosts[0].tuning["kube-proxy"].args == {"conntrack-max-per-core": 0}
    text, cluster = written(made("10.0.0.11", answers={"10.0.0.11": facts(installed={"docker": "20.10.5"})}))
    assert list(cluster.hosts[0].tuning) == ["docker"]
    text, cluster = written(made("10.0.0.11", answers={"10.0.0.11": facts(container=True)}))
    assert list(cluster.hosts[0].tuning) == ["kube-proxy"]


def test_every_choice_is_in_the_text(tmp_path: Path) -> None:
    archive, key, known_hosts = (tmp_path / name for name in ("k.tar.gz", "key", "known_hosts"))
    for file in (archive, key, known_hosts):
        file.touch()
    files = {"key": str(key), "known_hosts": str(known_hosts)}
    choices = Choices("prod", "1.9.4", "flannel", 3, 3, Source(str(archive), SUM))
    text, cluster = written(draft.made(count(4), choices, files))
    assert (cluster.name, cluster.version, cluster.network, cluster.programs) == ("prod", "1.9.4", "flannel", "tarball")
    assert cluster.tarball is not None
    assert (cluster.tarball.path, cluster.tarball.sha256) == (str(archive), SUM)
    assert (cluster.hosts[0].ssh.key, cluster.hosts[0].ssh.known_hosts) == (str(key), str(known_hosts))
    assert "# api_endpoint:" in text
    assert "# insecure:" not in text  # 1.9.4 knows no such thing
    assert "k8s-installer apply -i lab.yaml" in text


@pytest.mark.parametrize("version", KNOWN)
def test_the_images_of_a_registry_are_named(version: str) -> None:
    choices = replace(CHOICES, version=version, registry="10.0.0.1:5000/k8s", insecure=True)
    found, profile = draft.made(count(3), choices, {}), profiles.load(version)
    text = draft.text(found, profile, KNOWN, "lab.yaml")
    cluster = parse(text, Path("/nowhere/lab.yaml"))
    assert cluster.images.registry == "10.0.0.1:5000/k8s"
    assert cluster.hosts[0].tuning["docker"].args["insecure-registry"] == ("10.0.0.1:5000",)
    dns = next(name for name in ("coredns", "kube-dns") if name in profile.dns)
    for image in (images.pause(cluster, profile), *images.of_dns(cluster, profile.dns[dns]).values()):
        assert image in text
        assert image.removeprefix("10.0.0.1:5000/k8s/") in text.partition("images:")[0]


@pytest.mark.parametrize("version", KNOWN)
def test_each_setting_has_a_comment_and_no_line_is_wide(version: str) -> None:
    source = Source("/k.tar.gz", SUM) if version == "1.9.4" else None
    found = draft.made(count(3), replace(CHOICES, version=version, source=source), {})
    lines = draft.text(found, profiles.load(version), KNOWN, "cluster.yaml").splitlines()
    assert max(map(len, lines)) <= 100
    for number, line in enumerate(lines):
        if line.startswith("  ") and line.strip()[0] not in "#-" and lines[number - 1].strip():
            assert above(lines, number).strip().startswith("#") or ": {" in line, line
    assert "\n\n\n" not in "\n".join(lines)


def above(lines: Sequence[str], number: int) -> str:
    """The comment of a setting: the line above it, or above those that belong together with it."""
    together = ("service_cidr:", "tarball:", "path:", "sha256:")
    while lines[number].strip().startswith(together):
        number -= 1
    return lines[number - 1]
