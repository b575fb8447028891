"""The root file system that all hosts of a lab share: Debian's programs, in the ways of CentOS 7."""

from __future__ import annotations

import shutil
from pathlib import Path

from k8s_installer.lab import debian
from k8s_installer.lab.artifacts import artifact, data_folder, digest_of_file, digest_of_files
from k8s_installer.lab.commands import Say, run
from k8s_installer.lab.rpms import build

TOOLS = ("debootstrap", "rpm")
SUITE = "bookworm"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libnss-myhostname", "openssh-server", "sudo", "procps", "iputils-ping"),
    *("iproute2", "iptables", "conntrack", "ipset", "ebtables", "ethtool", "socat", "netcat-openbsd"),
    *("curl", "ca-certificates", "openssl", "xz-utils", "dnf", "rpm"),
    *("libseccomp2", "libdevmapper1.02.1", "libapparmor1"),  # what Debian's docker and runc are linked with
)
STRICT = ("systemctl", "journalctl", "curl", "ip", "yum", "tar", "findmnt", "lsblk", "openssl")
USERS = {"ops": 1000, "guest": 1001}  # may and may not use sudo


def base(cache: Path, say: Say) -> Path:
    """Return the artefact that is the hosts' shared root file system.

    Raises:
        LabError: debootstrap or a step after it failed.
    """
    plain = _debian(cache, say)
    host, spec = data_folder() / "host", data_folder() / "rpms" / "lab-base.spec"

    def make(out: Path) -> None:
        say("creating the hosts' root file system")
        run(["cp", "-a", "--reflink=auto", f"{plain}/.", out])
        _add_tools(out, host)
        _divert(out)
        _settle(out)
        _register_packages(out, spec)

    inputs = ["1", plain.name, *STRICT, *USERS, digest_of_files(host), digest_of_file(spec)]
    return artifact(cache, "base", inputs, make)


def _debian(cache: Path, say: Say) -> Path:
    def make(out: Path) -> None:
        say("installing Debian for the hosts' root file system (about a minute)")
        debian.bootstrap(out, SUITE, PACKAGES)
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(out / folder, ignore_errors=True)

    return artifact(cache, "debian", ["1", SUITE, *PACKAGES], make)


def _add_tools(root: Path, host: Path) -> None:
    """Put the lab's own files in place."""
    lab = root / "usr/lib/lab"
    (lab / "real").mkdir(parents=True)
    for name, mode in {"strict": 0o755, "boot": 0o755, "refused": 0o644, "directives": 0o644}.items():
        _copy(host / name, lab / name, mode)
    _copy(host / "modprobe", root / "usr/sbin/modprobe", 0o755)
    for name in ("iptables-restore", "ip6tables-restore"):
        _copy(host / "iptables-restore", root / "usr/sbin" / name, 0o755)
    _copy(host / "lab-boot.service", root / "etc/systemd/system/lab-boot.service")
    _link(root / "etc/systemd/system/sysinit.target.wants/lab-boot.service", "../lab-boot.service")
    _copy(host / "dnf.conf", root / "etc/dnf/dnf.conf")
    _link(root / "etc/yum.conf", "dnf/dnf.conf")
    _copy(host / "sudoers", root / "etc/sudoers", 0o440)
    _copy(host / "os-release", root / "usr/lib/os-release")
    _link(root / "etc/os-release", "../usr/lib/os-release")


def _divert(root: Path) -> None:
    """Put the strict wrapper in the place of each program of `STRICT`; the program goes to /usr/lib/lab/real."""
    real = root / "usr/lib/lab/real"
    binaries = root / "usr/bin"
    for name in ("dnf", "dnf-3", "dnf-automatic"):  # CentOS 7 has none of these; yum is the program
        if name == "dnf-3":
            (binaries / name).rename(real / "yum")
        else:
            (binaries / name).unlink(missing_ok=True)
    for name in STRICT:
        if (binaries / name).exists():
            (binaries / name).rename(real / name)
        _link(binaries / name, "/usr/lib/lab/strict")
    for path in (root / "usr/sbin").iterdir():  # halt, reboot ...: systemctl goes by the name it is called by
        if path.is_symlink() and path.readlink().name == "systemctl":
            _link(path, "/usr/lib/lab/real/systemctl")
    for path in [*binaries.glob("apt*"), *binaries.glob("dpkg*")]:
        path.unlink()


def _settle(root: Path) -> None:
    """Users, releases and settings as a CentOS 7 host has them."""
    (root / "etc/redhat-release").write_text("CentOS Linux release 7.9.2009 (Core)\n", encoding="utf-8")
    for name in ("centos-release", "system-release"):
        _link(root / "etc" / name, "redhat-release")
    (root / "etc/rpm").mkdir(exist_ok=True)
    # Debian's rpm keeps its database in the user's home, and refuses to install unless asked twice
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n", encoding="utf-8")
    for name, number in USERS.items():
        run(["chroot", root, "useradd", "-m", "-u", str(number), "-s", "/bin/bash", name])
    for name in ("iptables", "ip6tables"):  # CentOS 7 has the legacy tables only
        _link(root / "usr/sbin" / name, f"{name}-legacy")
        _link(root / "usr/sbin" / f"{name}-save", f"{name}-legacy-save")
    preset = root / "usr/lib/systemd/system-preset/00-lab.preset"  # CentOS 7 enables nothing that a package brings
    preset.write_text("disable *\n", encoding="utf-8")
    for unit in ("console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer"):
        _link(root / "etc/systemd/system" / unit, "/dev/null")
    for path in root.glob("etc/ssh/ssh_host_*"):
        path.unlink()
    (root / "etc/resolv.conf").write_text("", encoding="utf-8")
    (root / "etc/machine-id").write_text("", encoding="utf-8")
    shutil.rmtree(root / "etc/apt", ignore_errors=True)


def _register_packages(root: Path, spec: Path) -> None:
    """Tell the RPM database what a bare host has (see the spec file)."""
    packages = root / "usr/lib/lab/rpms"
    packages.mkdir()
    build(spec, packages, {})
    run(["chroot", root, "rpm", "--initdb"])
    inside = [f"/usr/lib/lab/rpms/{path.name}" for path in packages.glob("*.rpm")]
    run(["chroot", root, "rpm", "-i", "--nodeps", *inside])
    shutil.rmtree(packages)


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
