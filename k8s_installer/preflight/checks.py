"""What one host answered, against what is wanted of it: each check, in the order in which they are made. Pure.

A host on which nothing is missing has been installed, so what an install needs room for cannot stop it any more:
there this is a warning, or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from k8s_installer.errors import listed
from k8s_installer.host import yum
from k8s_installer.host.paths import ETCD_DATA, OS_RELEASE, RESOLV_CONF
from k8s_installer.inventory import Role
from k8s_installer.preflight import tables
from k8s_installer.preflight.model import Answers, Finding, Listener, Needs, Severity
from k8s_installer.preflight.tables import CHECKS
from k8s_installer.profiles.images import UPSTREAM

_WORDS = 200  # characters of what a program said
_SHELL_STATUS_TIMED_OUT = frozenset({124, 137})


@dataclass(frozen=True, slots=True)
class CheckedHost:
    """A host that answered: what is wanted of it, what it is like, and which of its packages are missing."""

    needs: Needs
    answers: Answers
    missing: frozenset[str]

    @property
    def name(self) -> str:
        """Its name in the inventory."""
        return self.needs.host.name

    @property
    def roles(self) -> frozenset[Role]:
        """Its roles in the inventory."""
        return self.needs.host.roles

    def runs(self, unit: str) -> bool:
        """Whether a unit is ours: wanted here, and its packages are there."""
        return unit in self.needs.own_units or (
            unit in self.needs.units and not self.missing.intersection(self.needs.units[unit])
        )

    def error(self, check: str, evidence: str, **names: object) -> Finding:
        """Of what would fail an install; `names` are those of the check's fix."""
        return finding_of(check, Severity.ERROR, self.name, evidence, **names)

    def warning(self, check: str, evidence: str, **names: object) -> Finding:
        """Of what is only worse than it could be."""
        return finding_of(check, Severity.WARNING, self.name, evidence, **names)

    def short(self, check: str, evidence: str, *, error: bool, **names: object) -> Finding:
        """Of what an install needs room for: an error where there is an install to come."""
        severity = Severity.ERROR if error and self.missing else Severity.WARNING
        return finding_of(check, severity, self.name, evidence, **names)


def _system(host: CheckedHost) -> Iterator[Finding]:
    answers = host.answers
    name, version = answers.os.get("ID", ""), answers.os.get("VERSION_ID", "")
    if name not in tables.SYSTEMS or version.partition(".")[0] != tables.SYSTEM_VERSION:
        yield host.warning("os", answers.os.get("PRETTY_NAME") or f"no {OS_RELEASE}")
    if answers.systemd < tables.SYSTEMD:
        yield host.error("systemd", f"systemd {answers.systemd or 'does not answer'}, not {tables.SYSTEMD} or later")
    if tuple(int(part) for part in re.findall(r"[0-9]{1,9}", answers.kernel)[:2]) < tables.KERNEL:
        wanted = ".".join(str(part) for part in tables.KERNEL)
        yield host.error("kernel", f"Linux {answers.kernel}, not {wanted} or later")
    if answers.machine != tables.MACHINE:
        yield host.warning("architecture", f"{answers.machine}, not {tables.MACHINE}", machine=answers.machine)


def _programs(host: CheckedHost) -> Iterator[Finding]:
    for module, (roles, why) in host.needs.demands.modules.items():
        if module in host.answers.missing_modules and roles & host.roles:
            yield host.error("module", f"{module}: {why}", module=module)
    lacking = [name for name in tables.IPVS_MODULES if name in host.answers.missing_modules]
    if lacking and host.needs.host.ipvs:
        yield host.error("module", f"{', '.join(lacking)}: kube-proxy's mode ipvs", module=lacking[0])
    for names, make in ((tables.TOOLS, host.error), (tables.OWN_TOOLS, host.warning)):
        gone = [tool for tool in names if tool in host.answers.missing_tools]
        if gone:
            packages = dict.fromkeys(names[tool] for tool in gone)
            yield make("tool", ", ".join(gone), packages=" ".join(packages))


def _size(host: CheckedHost) -> Iterator[Finding]:
    limits = [limit for limit in tables.MEMORY_MIB if limit.roles & host.roles]
    warning, error = sum(limit.warning for limit in limits), sum(limit.error for limit in limits)
    mib, cpus = host.answers.memory_mib, host.answers.cpus
    if mib < warning:
        why = "; ".join(limit.why for limit in limits)
        yield host.short("memory", f"{mib} MiB, needs {warning}: {why}", error=mib < error, wanted=warning)
    if cpus < tables.CPUS.warning and tables.CPUS.roles & host.roles:
        yield host.short(
            "cpu", f"{cpus}: {tables.CPUS.why}", error=cpus < tables.CPUS.error, wanted=tables.CPUS.warning
        )


def _disks(host: CheckedHost) -> Iterator[Finding]:
    """One finding for each file system and kind: the worst of those that its paths have."""
    found: dict[tuple[str, str], Finding] = {}
    for place, limit in host.needs.demands.room.items():
        path = _place(host, place)
        disk = host.answers.disks.get(path)
        if disk is None or not limit.roles & host.roles:
            continue
        where = path if path == disk.mount else f"{path} (on {disk.mount})"
        short = []
        if disk.mib < limit.warning:
            said = f"{disk.mib} MiB free in {where}, needs {limit.warning}: {limit.why}"
            short.append(host.short("disk", said, error=disk.mib < limit.error, path=path))
        if disk.inodes is not None and disk.inodes < tables.INODES.warning:
            said = f"{disk.inodes} inodes free in {where}, needs {tables.INODES.warning}: {tables.INODES.why}"
            short.append(host.short("inodes", said, error=disk.inodes < tables.INODES.error, path=path))
        for finding in short:
            before = found.setdefault((finding.id, disk.mount), finding)
            if finding.severity is Severity.ERROR and before.severity is Severity.WARNING:
                found[finding.id, disk.mount] = finding
    yield from found.values()


def _place(host: CheckedHost, path: str) -> str:
    """A folder that a component demands something of, as it is on this host."""
    return host.needs.etcd_folders[0] if path == ETCD_DATA else path


def _etcd_disk(host: CheckedHost) -> Iterator[Finding]:
    took = host.answers.sync_ms
    if took is not None and took > tables.SYNC_WARNING_MS:
        average = tables.SYNC_SECONDS * 1000 / tables.SYNC_WRITES
        words = f"{took:.0f} ms" if took < average else f"more than {average:.0f} ms"
        yield host.short(
            "etcd-disk",
            f"{words} for a synchronous write of {tables.SYNC_BYTES} bytes; etcd needs {tables.SYNC_WARNING_MS:.0f}",
            error=took > tables.SYNC_ERROR_MS,
        )


def _network(host: CheckedHost) -> Iterator[Finding]:
    address, own = host.needs.host.address, [interface for _, interface in host.answers.networks]
    if own and address not in {str(interface.ip) for interface in own}:
        there = listed([str(interface.ip) for interface in own if not interface.ip.is_loopback])
        yield host.error("address", f"{address} is not among {there or 'its own'}")
    for listener in host.answers.listeners:
        unit = host.needs.ports.get(listener.port)
        if unit is None or host.runs(listener.unit):
            continue
        who = listener.program or listener.unit or "another program"
        known = [f"pid {listener.pid}" if listener.pid else "", f"{listener.unit}.service" if listener.unit else ""]
        words = f"{listener.port} is in use by {who} ({', '.join(filter(None, known))})".removesuffix(" ()")
        yield host.error("port", f"{words}; {unit} needs it", stop=_stop(listener))
    if not host.answers.resolves and "getent" not in host.answers.missing_tools:
        yield host.warning("resolve", host.answers.hostname, address=address, hostname=host.answers.hostname)
    if host.answers.name_server:
        said = f"none in {RESOLV_CONF}" if host.answers.name_server == "none" else "no answer in 5 s"
        yield host.warning(
            "name-server", f"{said}: names such as {UPSTREAM}, the default for images, do not resolve; addresses work"
        )
    if not re.fullmatch(tables.OWN_NAME, host.answers.hostname) or host.answers.hostname.startswith("localhost"):
        yield host.warning("hostname", f"{host.answers.hostname or 'none'}: logs and leases will not show which host")


def _stop(listener: Listener) -> str:
    """How to end who listens; what somebody started after a login is of sshd's unit where no session has its own."""
    if listener.unit and listener.unit not in tables.LOGINS:
        return f"systemctl disable --now {listener.unit}    (or make it listen elsewhere)"
    if listener.pid and listener.program != "sshd":
        return f"ps -fp {listener.pid} shows what it is; then kill {listener.pid}"
    return f"make it listen elsewhere; ss -ltnp | grep :{listener.port} shows what it is"


def _settings(host: CheckedHost) -> Iterator[Finding]:
    if host.answers.swap and host.needs.swap_stops:
        yield host.error("swap", f"{host.answers.swap[0]}: the kubelet does not start (fail-swap-on)")
    elif host.answers.swap and Role.NODE in host.roles:
        yield host.warning("swap", f"{host.answers.swap[0]}: memory limits of pods are less exact")
    if host.answers.enforcing:
        yield host.warning("selinux", "enforcing: pods may not read what they mount from the host")
    if tables.FIREWALL in host.answers.active:
        yield host.warning("firewalld", "active: it rejects what its zone does not allow, also packets between pods")


def _twice(host: CheckedHost) -> Iterator[Finding]:
    """What the runtime has twice; its file's keys are flags, or for those that can be repeated their plural."""
    flags = host.needs.runtime_flags
    plural = {f"{flag.removesuffix('y')}ies" if flag.endswith("y") else f"{flag}s" for flag in flags}
    twice = sorted(host.answers.daemon_json & (flags | plural))
    if twice:
        runtime = host.needs.demands.runtime
        yield host.error("daemon-json", f"{', '.join(twice)}: {runtime} does not start if a flag sets them too")


def _xfs(host: CheckedHost) -> Iterator[Finding]:
    mount, driver = host.answers.no_ftype, host.needs.storage_driver
    if mount and driver in tables.OVERLAYS and Role.NODE in host.roles:
        whose = host.needs.demands.runtime
        said = f"{mount}, where {whose}'s data is, is an XFS with ftype=0: {driver} cannot delete files on it"
        yield host.short("xfs-ftype", said, error=True)


def _leftovers(host: CheckedHost) -> Iterator[Finding]:
    if not host.missing:
        return
    for name, ours in host.needs.demands.conflicts.items():
        if name in host.answers.installed and name not in host.needs.packages and ours in host.missing:
            evidence = f"{name} {host.answers.installed[name]} has the files of {ours}"
            yield host.error("package", evidence, package=name)
    for place, left in host.needs.demands.remains.items():
        path = _place(host, place)
        if path in host.answers.leftovers and left.package in host.missing and path not in host.needs.own_folders:
            make = host.error if left.stops else host.warning
            there = ", ".join(host.answers.leftovers[path])
            yield make("data", f"{there}, but {left.package} is not installed: {left.why}", path=path)
    for path in host.answers.unit_files:
        unit = path.rpartition("/")[2].removesuffix(".service")
        if path not in host.needs.own_files:
            yield host.error("unit-file", path, unit=unit, path=path)
    for unit in tables.ENGINES:
        if unit in host.answers.active and Role.NODE in host.roles and not host.runs(unit):
            # another docker has the socket, the bridge and the data; others only take memory
            make = host.error if unit in host.needs.units else host.warning
            yield make("engine", f"{unit} is active, but not from this inventory's packages", unit=unit)


def _etcd_log(host: CheckedHost) -> Iterator[Finding]:
    """What is in the way of the log that etcd makes at its first start, where it has a folder apart from the data."""
    if "etcd" not in host.missing:
        return
    found, (data, log) = host.answers.etcd_log, host.needs.etcd_folders
    above = log.rpartition("/")[0]
    beside = [path for path in found.get("beside", ()) if not f"{data}/".startswith(f"{path}/")]
    if "old" in found:
        why = host.needs.demands.remains[ETCD_DATA].why
        yield host.error("data", f"a log in {log}, but etcd is not installed: {why}", path=log)
    elif "mount" in found:
        yield host.error("etcd-log", f"{log} is a mount point and cannot be replaced", log=log)
    elif "holds" in found:
        yield host.error("etcd-log", f"{log} is not empty: {', '.join(found['holds'])}", log=log)
    elif beside and not f"{above}/".startswith(f"{data}/"):
        said = f"etcd would take over {above}, which has {', '.join(beside[:3])}"
        yield host.warning("etcd-log", said, log=log)


def _yum(host: CheckedHost) -> Iterator[Finding]:
    answer = host.answers.yum
    if answer is None or "yum" in host.answers.missing_tools:
        return
    if answer.status in _SHELL_STATUS_TIMED_OUT:
        yield host.error("yum", f"no answer in {tables.YUM_SECONDS} s", how=yum.OTHERWISE)
    elif answer.status and "No matching Packages" not in answer.words:
        evidence, how = _yum_words(answer.words)
        yield host.error("yum", evidence, how=how)
    else:
        for name in sorted(host.missing):
            version, offered = host.needs.packages[name], answer.offers.get(name, frozenset())
            plain = version.rpartition(":")[2]  # offers have no epoch
            if not any(plain in ("", offer, offer.rpartition("-")[0]) for offer in offered):
                there = f"; available: {', '.join(sorted(offered))}" if offered else ""
                yield host.error("no-package", f"{name} {version}".strip() + there)


def _yum_words(words: str) -> tuple[str, str]:
    """The line that says most of what yum said, and what to do about it."""
    trouble = yum.classify(words)
    if trouble is not None:
        return trouble.line(words)[:_WORDS], trouble.hint
    last = (words.splitlines() or ["no output"])[-1]
    return last[:_WORDS], yum.OTHERWISE


EACH: Sequence[Callable[[CheckedHost], Iterator[Finding]]] = (
    _system, _programs, _size, _disks, _etcd_disk, _network, _settings, _twice, _xfs, _leftovers, _etcd_log, _yum,
)  # fmt: skip


def finding_of(check: str, severity: Severity, host: str, evidence: str, **names: object) -> Finding:
    """What a check has found on a host; `names` are those of its fix."""
    return Finding(check, severity, host, evidence, CHECKS[check].fix.format(host=host, **names))
