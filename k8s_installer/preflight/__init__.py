"""What would stop an install, found before anything is changed: one script for each host, judged over all. Pure."""

from k8s_installer.preflight.answer import parse
from k8s_installer.preflight.ask import script, seconds
from k8s_installer.preflight.assess import assess
from k8s_installer.preflight.model import Answers, Finding, Needs, Preflight, Severity
from k8s_installer.preflight.needs import needs
from k8s_installer.preflight.tables import CHECKS

__all__ = [
    "CHECKS", "Answers", "Finding", "Needs", "Preflight", "Severity", "assess", "needs", "parse", "script", "seconds",
]  # fmt: skip
