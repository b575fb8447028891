"""kubeadm's steps beside this method: what each hides, and what of it a cluster has."""

from __future__ import annotations

from dataclasses import dataclass

from k8s_installer.explain.known import Known
from k8s_installer.explain.texts import Step, Texts


@dataclass(frozen=True, slots=True)
class Beside:
    """A step of kubeadm; `places` are where the cluster has what takes its place (a unit or file, and its hosts)."""

    step: Step
    places: tuple[tuple[str, tuple[str, ...]], ...] = ()


def beside(texts: Texts, known: Known | None) -> tuple[Beside, ...]:
    """Every step, with what the cluster has of it, if there is one."""
    return tuple(Beside(step, _places(step, known) if known is not None else ()) for step in texts.steps)


def _places(step: Step, known: Known) -> tuple[tuple[str, tuple[str, ...]], ...]:
    units = [
        (f"unit {spec.unit}", tuple(host.name for host in known.hosts(name)))
        for name in step.components
        if (spec := known.component(name)) is not None
    ]
    files = [(path, tuple(host for host, _, _ in known.files(path))) for path in step.files]
    return tuple((name, hosts) for name, hosts in (*units, *files) if hosts)
