"""Is the cluster what it should be? Asked from outside, with real objects, and never taken from a program's word.

`components` looks at the nodes; `workload` makes the three objects that users operate (pods, a
ReplicationController, a Service), works with them and removes them. Everything goes over SSH to a master and
from there by curl to the API, because a kubectl at hand may be of another version and no port of the API may be open.
"""

from k8s_installer.verify.api import Api, ApiAccess, HttpReply, Request
from k8s_installer.verify.checks import NO_IMAGE, CheckResult, OnCheck, Proof, Status
from k8s_installer.verify.health import components
from k8s_installer.verify.lifecycle import workload
from k8s_installer.verify.running import pods_run

__all__ = [
    "NO_IMAGE",
    "Api",
    "ApiAccess",
    "CheckResult",
    "HttpReply",
    "OnCheck",
    "Proof",
    "Request",
    "Status",
    "components",
    "pods_run",
    "workload",
]
