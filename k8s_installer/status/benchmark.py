"""The items of the CIS benchmark that files and flags show, by their ids in kube-bench (`cfg/cis-1.20`). Data.

Its words are about pods of the control plane; here their place is taken by the files that units read. Not here, because
neither a file of ours nor a flag shows it: 1.1.9 to 1.1.12 (folders of CNI and of etcd's data), 2.7, and section 5
(objects in the API).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Must = Literal["be", "not be", "be set", "not be set", "have", "not have", "at least"]
ROOT = "root:root"


@dataclass(frozen=True, slots=True)
class FlagRule:
    """What a flag of a component must be. `key` is the same in its configuration file, where it has one.

    `flag` may be several names with | between, the newest first: the first that a version's program has counts.
    `unset` says that a flag which is not set, and has no default that is known, is right.
    """

    id: str
    what: str
    component: str
    flag: str
    must: Must
    value: str = ""
    key: str = ""
    unset: bool = False


@dataclass(frozen=True, slots=True)
class FileRule:
    """How files may be: `mode` is the most that their bits may be, and `owner` whose they must be (empty: any).

    `path` is a regular expression of their whole paths, `role` that of the hosts that the item is about.
    """

    id: str
    what: str
    role: str
    path: str
    mode: int = 0
    owner: str = ""


def _files(first: str, second: str, what: str, role: str, path: str) -> tuple[FileRule, FileRule]:
    """A mode of 0644 or less, and root as the owner."""
    return (
        FileRule(first, f"{what}: mode 0644 or stricter", role, path, mode=0o644),
        FileRule(second, f"{what}: owned by root", role, path, owner=ROOT),
    )


_API, _MANAGER, _SCHEDULER = "kube-apiserver", "kube-controller-manager", "kube-scheduler"
_PLUGINS = "enable-admission-plugins|admission-control"
_ENCRYPTION = "encryption-provider-config|experimental-encryption-provider-config"
_PKI = "/etc/kubernetes/pki/"

FILES: tuple[FileRule, ...] = (
    *_files("1.1.1", "1.1.2", "kube-apiserver's flags", "master", "/etc/kubernetes/apiserver"),
    *_files("1.1.3", "1.1.4", "kube-controller-manager's flags", "master", "/etc/kubernetes/controller-manager"),
    *_files("1.1.5", "1.1.6", "kube-scheduler's flags", "master", "/etc/kubernetes/scheduler"),
    *_files("1.1.7", "1.1.8", "etcd's configuration", "etcd", "/etc/etcd/etcd[.]conf"),
    *_files("1.1.13", "1.1.14", "the administrator's kubeconfig", "master", "/root/[.]kube/config"),
    *_files("1.1.15", "1.1.16", "kube-scheduler's kubeconfig", "master", "/etc/kubernetes/scheduler[.]kubeconfig"),
    *_files(
        "1.1.17", "1.1.18", "kube-controller-manager's kubeconfig", "master",
        "/etc/kubernetes/controller-manager[.]kubeconfig",
    ),
    FileRule("1.1.19", "certificates and keys: owned by root", "master", f"{_PKI}.*", owner=ROOT),
    FileRule("1.1.20", "certificates: mode 0644 or stricter", "master", f"{_PKI}.*[.]crt", mode=0o644),
    FileRule("1.1.21", "keys: mode 0600", "master", f"{_PKI}.*[.]key", mode=0o600),
    *_files("4.1.1", "4.1.2", "the kubelet's unit and drop-ins", "node", "/etc/systemd/system/kubelet[.]service.*"),
    *_files("4.1.3", "4.1.4", "kube-proxy's kubeconfig", "node", "/etc/kubernetes/proxy[.]kubeconfig"),
    *_files("4.1.5", "4.1.6", "the kubelet's kubeconfig", "node", "/etc/kubernetes/kubelet[.]kubeconfig"),
    *_files("4.1.7", "4.1.8", "the CA of clients", "node", f"{_PKI}ca[.]crt"),
    *_files("4.1.9", "4.1.10", "the kubelet's configuration", "node", "/etc/kubernetes/kubelet[.]yaml"),
)  # fmt: skip

FLAGS: tuple[FlagRule, ...] = (
    FlagRule("1.2.1", "nobody is anonymous", _API, "anonymous-auth", "be", "false"),
    FlagRule("1.2.2", "no file of tokens", _API, "token-auth-file", "not be set"),
    FlagRule("1.2.3", "kubelets are asked by HTTPS", _API, "kubelet-https", "be", "true", unset=True),
    FlagRule("1.2.4", "kubelets are shown a certificate", _API, "kubelet-client-certificate", "be set"),
    FlagRule("1.2.4", "kubelets are shown a certificate", _API, "kubelet-client-key", "be set"),
    FlagRule("1.2.5", "kubelets' certificates are verified", _API, "kubelet-certificate-authority", "be set"),
    FlagRule("1.2.6", "not everything is allowed", _API, "authorization-mode", "not have", "AlwaysAllow"),
    FlagRule("1.2.7", "kubelets reach only what is theirs", _API, "authorization-mode", "have", "Node"),
    FlagRule("1.2.8", "rights are given by roles", _API, "authorization-mode", "have", "RBAC"),
    FlagRule("1.2.9", "events are limited", _API, _PLUGINS, "have", "EventRateLimit"),
    FlagRule("1.2.10", "not everything is admitted", _API, _PLUGINS, "not have", "AlwaysAdmit"),
    FlagRule("1.2.11", "images are pulled each time", _API, _PLUGINS, "have", "AlwaysPullImages"),
    FlagRule(
        "1.2.12", "pods may not choose any user", _API, _PLUGINS, "have",
        "SecurityContextDeny|PodSecurityPolicy",
    ),
    FlagRule("1.2.13", "service accounts are used", _API, "disable-admission-plugins", "not have", "ServiceAccount"),
    FlagRule(
        "1.2.14", "namespaces that end take no objects", _API, "disable-admission-plugins", "not have",
        "NamespaceLifecycle",
    ),
    FlagRule("1.2.15", "pods follow a policy", _API, _PLUGINS, "have", "PodSecurityPolicy"),
    FlagRule("1.2.16", "kubelets change only their node", _API, _PLUGINS, "have", "NodeRestriction"),
    FlagRule("1.2.17", "no insecure address", _API, "insecure-bind-address", "not be set"),
    FlagRule("1.2.18", "no insecure port", _API, "insecure-port", "be", "0", unset=True),
    FlagRule("1.2.19", "a secure port", _API, "secure-port", "not be", "0", unset=True),
    FlagRule("1.2.20", "no profiling", _API, "profiling", "be", "false"),
    FlagRule("1.2.21", "requests are logged", _API, "audit-log-path", "be set"),
    FlagRule("1.2.22", "these logs are kept for 30 days", _API, "audit-log-maxage", "at least", "30"),
    FlagRule("1.2.23", "ten of these logs are kept", _API, "audit-log-maxbackup", "at least", "10"),
    FlagRule("1.2.24", "each has up to 100 MB", _API, "audit-log-maxsize", "at least", "100"),
    FlagRule("1.2.26", "tokens of deleted accounts end", _API, "service-account-lookup", "be", "true", unset=True),
    FlagRule("1.2.27", "tokens have a key of their own", _API, "service-account-key-file", "be set"),
    FlagRule("1.2.28", "etcd is shown a certificate", _API, "etcd-certfile", "be set"),
    FlagRule("1.2.28", "etcd is shown a certificate", _API, "etcd-keyfile", "be set"),
    FlagRule("1.2.29", "it serves by TLS", _API, "tls-cert-file", "be set"),
    FlagRule("1.2.29", "it serves by TLS", _API, "tls-private-key-file", "be set"),
    FlagRule("1.2.30", "certificates of clients are verified", _API, "client-ca-file", "be set"),
    FlagRule("1.2.31", "etcd's certificate is verified", _API, "etcd-cafile", "be set"),
    FlagRule("1.2.32", "Secrets are encrypted in etcd", _API, _ENCRYPTION, "be set"),
    FlagRule("1.2.34", "only strong ciphers", _API, "tls-cipher-suites", "be set"),
    FlagRule("1.3.1", "ended pods are removed", _MANAGER, "terminated-pod-gc-threshold", "be set"),
    FlagRule("1.3.2", "no profiling", _MANAGER, "profiling", "be", "false"),
    FlagRule("1.3.3", "each controller has its own rights", _MANAGER, "use-service-account-credentials", "be", "true"),
    FlagRule("1.3.4", "tokens are signed with a key", _MANAGER, "service-account-private-key-file", "be set"),
    FlagRule("1.3.5", "pods get the CA", _MANAGER, "root-ca-file", "be set"),
    FlagRule("1.3.7", "it listens on the host alone", _MANAGER, "bind-address|address", "be", "127.0.0.1"),
    FlagRule("1.4.1", "no profiling", _SCHEDULER, "profiling", "be", "false"),
    FlagRule("1.4.2", "it listens on the host alone", _SCHEDULER, "bind-address|address", "be", "127.0.0.1"),
    FlagRule("2.1", "it serves by TLS", "etcd", "cert-file", "be set"),
    FlagRule("2.1", "it serves by TLS", "etcd", "key-file", "be set"),
    FlagRule("2.2", "clients need a certificate", "etcd", "client-cert-auth", "be", "true"),
    FlagRule("2.3", "no certificates of its own making", "etcd", "auto-tls", "not be", "true", unset=True),
    FlagRule("2.4", "members talk by TLS", "etcd", "peer-cert-file", "be set"),
    FlagRule("2.4", "members talk by TLS", "etcd", "peer-key-file", "be set"),
    FlagRule("2.5", "members need a certificate", "etcd", "peer-client-cert-auth", "be", "true"),
    FlagRule("2.6", "no certificates of its own making", "etcd", "peer-auto-tls", "not be", "true", unset=True),
    FlagRule("3.2.1", "there is a policy of what is logged", _API, "audit-policy-file", "be set"),
    FlagRule(
        "4.2.1", "nobody is anonymous", "kubelet", "anonymous-auth", "be", "false", "authentication.anonymous.enabled"
    ),
    FlagRule(
        "4.2.2", "not everything is allowed", "kubelet", "authorization-mode", "not have", "AlwaysAllow",
        "authorization.mode",
    ),
    FlagRule(
        "4.2.3", "certificates of clients are verified", "kubelet", "client-ca-file", "be set",
        key="authentication.x509.clientCAFile",
    ),
    FlagRule("4.2.4", "no port without a login", "kubelet", "read-only-port", "be", "0", "readOnlyPort", unset=True),
    FlagRule(
        "4.2.5", "idle streams end", "kubelet", "streaming-connection-idle-timeout", "not be", "0",
        "streamingConnectionIdleTimeout", unset=True,
    ),
    FlagRule(
        "4.2.6", "settings of the kernel are demanded", "kubelet", "protect-kernel-defaults", "be", "true",
        "protectKernelDefaults",
    ),
    FlagRule(
        "4.2.7", "it has its own chains", "kubelet", "make-iptables-util-chains", "be", "true",
        "makeIPTablesUtilChains", unset=True,
    ),
    FlagRule("4.2.8", "the node has the host's own name", "kubelet", "hostname-override", "not be set"),
    FlagRule("4.2.9", "no event is dropped", "kubelet", "event-qps", "be", "0", "eventRecordQPS"),
    FlagRule("4.2.10", "it serves by TLS", "kubelet", "tls-cert-file", "be set", key="tlsCertFile"),
    FlagRule("4.2.10", "it serves by TLS", "kubelet", "tls-private-key-file", "be set", key="tlsPrivateKeyFile"),
    FlagRule(
        "4.2.11", "it renews its certificate as a client", "kubelet", "rotate-certificates", "not be", "false",
        "rotateCertificates", unset=True,
    ),
    FlagRule("4.2.13", "only strong ciphers", "kubelet", "tls-cipher-suites", "be set", key="tlsCipherSuites"),
)  # fmt: skip
