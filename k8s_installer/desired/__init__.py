"""From an inventory to what is wanted: every package, file, unit and gate, with its place in the order. Pure."""

from k8s_installer.desired.build import desire
from k8s_installer.desired.check import check
from k8s_installer.desired.files import PLACEHOLDERS
from k8s_installer.model.desired import Desired, DesiredResource

__all__ = ["PLACEHOLDERS", "Desired", "DesiredResource", "check", "desire"]
