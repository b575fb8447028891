"""What the commands do, step by step: observe, plan, ask, apply, verify; each gives an exit code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from k8s_installer import apply as engine
from k8s_installer import fleet
from k8s_installer.cli.console import Exit, Output, print_json, stderr, stdout
from k8s_installer.cli.stopping import stop_on_ctrl_c
from k8s_installer.cli.verifying import prove
from k8s_installer.errors import InputError
from k8s_installer.intent import Intent
from k8s_installer.plan import Plan, make_plan
from k8s_installer.report import data, ending, progress, text
from k8s_installer.resources import File


def render(intent: Intent, folder: Path | None, hosts: list[str]) -> None:
    """Write or print every rendered file; secrets are placeholders here."""
    names = [host.name for host in intent.cluster.hosts]
    unknown = [host for host in hosts if host not in names]
    if unknown:
        raise InputError(f"--host: the inventory has no host {unknown[0]}", hint=f"it has {', '.join(names)}")
    files = [
        (ref, item.resource)
        for ref, item in sorted(intent.desired.items())
        if isinstance(item.resource, File) and (not hosts or ref.host in hosts)
    ]
    for ref, file in files:
        if folder is None:
            stdout().print(f"==> {ref.host}:{ref.name} <==", markup=False)
            stdout().print(file.content.decode(), markup=False)
            continue
        target = folder / ref.host / ref.name.lstrip("/")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}") from None
    if folder is not None:
        stderr().print(f"{len(files)} files of {len(hosts or names)} hosts below {folder}", markup=False)


def plan(intent: Intent, output: Output, *, full: bool) -> Exit:
    """Observe every host and show the plan."""
    with _observed(intent) as seen:
        made = make_plan(intent.desired, seen.seen)
    if output is Output.JSON:
        print_json(data.plan_data(intent.cluster, made))
    else:
        _print_plan(intent, made, full=full)
    return Exit.PENDING if made else Exit.DONE


def apply(intent: Intent, inventory: Path, output: Output, began: float, *, yes: bool, verify: bool) -> Exit:
    """Observe, plan, ask, carry out, verify, and say what to type next."""
    with _observed(intent) as seen:
        made = make_plan(intent.desired, seen.seen)
        if not made:
            return _unchanged(intent, made, seen, output)
        if output is Output.TEXT:
            _print_plan(intent, made, full=False)
        if not yes:
            asked = time.monotonic()
            if not stderr().input("Apply this plan? [y/N] ").strip().lower().startswith("y"):
                stderr().print("nothing was changed")
                return Exit.FAILED
            began += time.monotonic() - asked  # a person's time is not the run's
        with stop_on_ctrl_c() as stopped, progress.shown(made, stderr()) as on_event:
            run = engine.apply(made, seen.remotes, on_event, stopped)
        broken = bool(run.failures or run.skipped)
        proof = prove(intent, seen) if verify and not broken else None
    if output is Output.JSON:
        print_json({**data.run_data(made, run), "verify": proof.data() if proof else None})
    if broken:
        stderr().print(ending.failed(made, run, inventory), soft_wrap=True)
        return Exit.FAILED
    proven = proof.seconds if proof else 0.0
    stderr().print(ending.applied(made, run, proven, time.monotonic() - began, inventory), soft_wrap=True)
    return Exit.DONE if proof is None or proof.passed else Exit.FAILED


def verify(intent: Intent, output: Output) -> Exit:
    """Prove the cluster as it is."""
    with _observed(intent) as seen:
        proof = prove(intent, seen)
    if output is Output.JSON:
        print_json(proof.data())
    return Exit.DONE if proof.passed else Exit.FAILED


def _unchanged(intent: Intent, made: Plan, seen: fleet.Fleet, output: Output) -> Exit:
    """Nothing to do; an earlier run may have died before its last gate, so health is asked all the same."""
    sick = fleet.unhealthy(intent.desired, seen.remotes)
    if output is Output.JSON:
        print_json(data.run_data(made, engine.Run((), interrupted=False)))
    else:
        stdout().print(text.totals(made), markup=False)
    for ref, words in sick:
        stderr().print(f"{ref.host}: not so: {ref.name}: {words}", style="red", markup=False)
    return Exit.FAILED if sick else Exit.DONE


@contextmanager
def _observed(intent: Intent) -> Iterator[fleet.Fleet]:
    """The whole fleet, seen; every host must answer, or nothing is done."""
    hosts = intent.cluster.hosts
    answered: list[str] = []
    with stderr().status(f"looking at {len(hosts)} hosts") as status:

        def tick(host: str) -> None:
            answered.append(host)
            status.update(f"looking at {len(hosts)} hosts: {len(answered)} answered")

        with fleet.observed(hosts, intent.desired, tick) as seen:
            status.stop()
            seen.require_all()
            yield seen


def _print_plan(intent: Intent, made: Plan, *, full: bool) -> None:
    if not made:
        stdout().print(text.totals(made), markup=False)
        return
    for line in text.plan_lines(intent.cluster, made, full=full):
        stdout().print(line)
