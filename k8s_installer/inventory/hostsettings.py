"""`host_settings:`, of the cluster and of one host."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from k8s_installer.inventory.values import Mirror, Model, ProxyUrl, Registry, Word


class ProxyModel(Model):
    """The proxy through which yum and docker reach what is outside."""

    http: ProxyUrl = Field(
        description="The proxy's address, without a password.", examples=["http://proxy.example.com:3128"]
    )
    https: ProxyUrl | None = Field(
        default=None, description="The proxy for HTTPS. Default: as `http`.", examples=["http://proxy.example.com:3129"]
    )
    no_proxy: list[Word] = Field(
        default=[],
        description="What docker reaches directly, besides the hosts and networks of the cluster.",
        examples=[["registry.example.com", "10.0.0.7"]],
    )


class EtcdBackupsModel(Model):
    """Backups that members of etcd make by themselves."""

    schedule: Annotated[str, Field(pattern=r"^(hourly|daily|weekly|([01][0-9]|2[0-3]):[0-5][0-9])$")] = Field(
        description="`hourly`, `daily`, `weekly`, or a time of day by the host's clock, in quotes.",
        examples=["daily", "02:30"],
    )
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=7, description="How many files each member keeps.", examples=[14]
    )
    folder: Annotated[str, Field(pattern=r"^(/[-\w.+@%:=]+)+$", max_length=200)] = Field(
        default="/var/lib/etcd-backups", description="Where they are, on each member.", examples=["/mnt/backups/etcd"]
    )


class LogsModel(Model):
    """How much of a container's output docker keeps."""

    max_size: Annotated[str, Field(pattern=r"^[1-9]\d*[kmg]$")] = Field(
        default="50m", description="The size at which docker starts another file.", examples=["20m"]
    )
    max_file: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="How many files it keeps for each container.", examples=[5]
    )


class DockerModel(Model):
    """docker's own settings; what is left out stays as the profile has it. `flags` says which flag each of them is."""

    registry_mirrors: list[Mirror] | None = Field(
        default=None,
        description="Mirrors of Docker Hub: addresses without a path.",
        examples=[["https://mirror.example.com"]],
    )
    insecure_registries: list[Registry] | None = Field(
        default=None,
        description="Registries without TLS or with an untrusted certificate, by name and port, or as a network.",
        examples=[["10.0.0.9:5000", "10.99.0.0/16"]],
    )
    storage_driver: Literal["overlay2", "overlay", "devicemapper", "vfs"] | None = Field(
        default=None,
        description="How docker stores images. After a change, earlier images and containers are not visible.",
        examples=["overlay2"],
    )
    log: LogsModel | None = Field(
        default=None,
        description="How much of a container's output is kept.",
        examples=[{"max_size": "20m", "max_file": 5}],
    )

    @property
    def flags(self) -> dict[str, str | list[str]]:
        """What is said here, by the flags."""
        flags: dict[str, str | list[str] | None] = {
            "registry-mirror": list(self.registry_mirrors) if self.registry_mirrors is not None else None,
            "insecure-registry": list(self.insecure_registries) if self.insecure_registries is not None else None,
            "storage-driver": self.storage_driver,
            "log-opt": [f"max-size={self.log.max_size}", f"max-file={self.log.max_file}"] if self.log else None,
        }
        return {flag: value for flag, value in flags.items() if value is not None}


class HostSettingsModel(Model):
    """Settings of the hosts themselves; `ignore` leaves one as it is. What a host leaves out is as for the cluster."""

    selinux: Literal["permissive", "enforcing", "disabled", "ignore"] | None = Field(
        default=None,
        description="SELinux's mode, now and from the next boot on. Default: `permissive`.",
        examples=["enforcing"],
    )
    swap: Literal["off", "ignore"] | None = Field(
        default=None, description="Swap, which the kubelet does not start with. Default: `off`.", examples=["ignore"]
    )
    firewall: Literal["manage", "disable", "ignore"] | None = Field(
        default=None,
        description="firewalld: open the cluster's ports in it, stop it, or leave it alone. Default: `manage`.",
        examples=["disable"],
    )
    time: Literal["chrony", "ignore"] | None = Field(
        default=None, description="Install and start chrony. Default: `ignore`.", examples=["chrony"]
    )
    proxy: ProxyModel | None = Field(
        default=None,
        description="The proxy of yum and docker.",
        examples=[{"http": "http://proxy.example.com:3128", "no_proxy": ["10.0.0.7"]}],
    )
    hosts_file: Literal["manage", "ignore"] | None = Field(
        default=None,
        description="Write the names and addresses of all hosts into `/etc/hosts`. Default: `ignore`.",
        examples=["manage"],
    )
    journald: Literal["persistent", "ignore"] | None = Field(
        default=None, description="Keep the journal across reboots. Default: `ignore`.", examples=["persistent"]
    )
    etcd_backups: EtcdBackupsModel | None = Field(
        default=None,
        description="Backups that etcd's members make by themselves. Default: none.",
        examples=[{"schedule": "daily", "keep": 7}],
    )
    limit_nofile: Annotated[int, Field(ge=1024, le=1048576)] | None = Field(
        default=None,
        description="How many files etcd, kube-apiserver, docker and the kubelet may each have open. Default: as "
        "their packages say.",
        examples=[65536],
    )
    cgroup_driver: Literal["systemd", "cgroupfs"] | None = Field(
        default=None,
        description="The cgroup driver of docker and the kubelet. Default: the profile's.",
        examples=["cgroupfs"],
    )
    docker: DockerModel = Field(
        default=DockerModel(),
        description="docker's own settings.",
        examples=[{"insecure_registries": ["10.0.0.9:5000"]}],
    )

    @property
    def flags(self) -> dict[str, dict[str, str | list[str]]]:
        """What is said here of components, by their flags."""
        return {"docker": self.docker.flags} if self.docker.flags else {}
