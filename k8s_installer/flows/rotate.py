"""`certs rotate`: another CA or key in the place of one, step by step (`pki/rotation.py` has the steps)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from k8s_installer import pki
from k8s_installer.desired.certificates import leaves
from k8s_installer.errors import CommandFailed, HostError, InputError, InstallerError, listed
from k8s_installer.flows import inputs as files
from k8s_installer.flows import resolve
from k8s_installer.flows.apply import Options, apply
from k8s_installer.flows.certs import required
from k8s_installer.flows.outcome import Outcome
from k8s_installer.flows.reporter import Reporter
from k8s_installer.flows.resolve import Resolved, pki_folder
from k8s_installer.flows.session import opened
from k8s_installer.host import tokens
from k8s_installer.inventory import Cluster
from k8s_installer.model.resources import Kind, Ref, SeenUnit
from k8s_installer.model.rotation import Advance, Step
from k8s_installer.pki import Pki
from k8s_installer.pki.leaves import ENCRYPTION, TOKENS
from k8s_installer.pki.rotation import SECRETS
from k8s_installer.planning.renewal import users
from k8s_installer.profiles import Profile
from k8s_installer.transport import Transport
from k8s_installer.untrusted.answers import understood

API = "ca"  # the CA of the API's server, which pods trust, too
_CONTROLLERS = "kube-controller-manager"  # which gives service accounts the CA
_OLD_CA = "these pods started before their service accounts had the new CA, and would no longer trust the API server"
_OLD_TOKENS = "these pods have tokens of the old key, which the API server would no longer accept"
# The steps that cut off pods which have read what was before.
_CUT_OFF = {(API, Step.USE): _OLD_CA, (TOKENS, Step.DROP): _OLD_TOKENS}
_OF_CA = {
    Step.ADD: "All hosts trust the new CA, which issues nothing yet.",
    Step.USE: "All certificates are issued by the new CA; the old one is still trusted.",
    Step.DROP: "Hosts trust the new CA alone.",
}
_ELSEWHERE = {
    Step.ADD: "Before the next step: give /etc/kubernetes/pki/ca.crt to whoever uses the API from elsewhere "
    "(kubeconfigs, webhooks), and restart the pods that use it: they read their CA when they start.",
    Step.USE: "Before the next step: replace client certificates of the old CA in kubeconfigs elsewhere.",
}
_OF_TOKENS = {
    Step.ADD: "All masters accept tokens of the new key, which signs nothing yet.",
    Step.USE: "All tokens of service accounts are signed with the new key; those of the old one are still accepted. "
    "Before the next step: restart the pods that use the API, and replace tokens elsewhere.",
    Step.DROP: "Masters accept tokens of the new key alone. Secrets of older tokens can be deleted.",
}
_OF_SECRETS = {
    Step.ADD: "All masters can read Secrets with the new key, which writes nothing yet.",
    Step.USE: "All Secrets are written with the new key; the old one can still be read.",
    Step.DROP: "Masters have the new key alone. encryption-old.key stays in the folder pki: older backups need it.",
}
_WORDS = {SECRETS: _OF_SECRETS, TOKENS: _OF_TOKENS}


def rotate(options: Options, reporter: Reporter, *, root: str, step: Step, ignore_pods: bool = False) -> Outcome:
    """Make one step of a rotation on all hosts: an `apply` with the local folder as that step leaves it.

    The folder is written once the plan is agreed to. Typed again, the step is resumed; where it is complete nothing
    changes. It begins only where all hosts answer and have, in files and in processes, what the step before leaves.

    Args:
        options: the user's request.
        reporter: receives notes, the plan, progress and the result.
        root: the name of the CA in the local folder, or `encryption`, the key of Secrets, or `sa`, that of tokens.
        step: which step.
        ignore_pods: whether a step is made although it cuts off pods.

    Raises:
        InputError: there is no such CA or key, it cannot be rotated from here, or another step comes first.
        InstallerError: hosts are not where the step begins, or the step would cut off pods.
    """
    inventory = options.inputs.inventory
    cluster, profile = files.read(options.inputs, reporter, download=False, opens=False)
    folder, needed = pki_folder(cluster), required(leaves(cluster, profile))
    at = pki.rotating(folder, needed, root)
    if step is Step.DROP and at is None:
        pki.require_ended(folder, root)
        reporter.say(f"no rotation of {root} is under way: hosts have no other one to drop")
        return Outcome.DONE
    if at is not step:
        _require_next(root, at, step, inventory)
    if (root, step) in _CUT_OFF and at is step.before and not ignore_pods:
        _require_pods(options, reporter, root, _CUT_OFF[root, step])

    def change(whole: Resolved) -> Resolved:
        at = pki.rotating(folder, needed, root)
        if at is step:
            return whole
        if root == SECRETS and ENCRYPTION not in users(whole.desired):
            raise InputError(f"Kubernetes {cluster.version} does not encrypt Secrets: there is no key to rotate")
        _require_next(root, at, step, inventory)
        advance = Advance(root, step)

        def keys(_cluster: Cluster, _profile: Profile) -> Pki:
            return pki.look(folder, needed, advance)

        after = resolve.desire(whole.inventory, whole.profile, options.inputs.templates, keys, whole.given.allocations)
        return replace(after, advance=advance, beside=whole.desired)

    closing = tuple(_closing(root, step, inventory))
    outcome = apply(options, reporter, change, closing=lambda _found: closing)
    if outcome is Outcome.DONE and step is Step.DROP:
        pki.end_rotation(folder, root)
    return outcome


def _require_pods(options: Options, reporter: Reporter, root: str, words: str) -> None:
    """Stop where pods would no longer trust the API server, or it would no longer accept their tokens.

    Raises:
        InstallerError: service accounts or pods have the old CA or tokens alone, or no master answers about them.
    """
    with opened(options.inputs, reporter) as session:
        wanted = session.resolve()
        asked = {ref: item for ref, item in wanted.desired.items() if ref == Ref(ref.host, Kind.UNIT, _CONTROLLERS)}
        units = session.look(asked, {ref.host for ref in asked})
        units.require_all()
        first = session.cluster.first_master.name
        found = session.ask([first], _trust)[first]
    if isinstance(found, HostError):
        raise found
    if root == API and found.outdated:
        raise InstallerError(
            f"the controller-manager has not given service accounts the new CA yet: {listed(found.outdated)}",
            hint=f"see its log on the masters (journalctl -u {_CONTROLLERS}), then try again",
        )
    given = max(unit.started_at for unit in units.seen.values() if isinstance(unit, SeenUnit))
    old = found.before(given) if root == API else found.with_old_tokens()
    if old:
        raise InstallerError(
            f"{words}: {listed(old)}",
            hint="restart them (kubectl delete pod, or kubectl rollout restart), then try again; with --ignore-pods if "
            "none of them uses the API",
        )


def _trust(transport: Transport) -> tokens.Trust:
    result = transport.run(tokens.SCRIPT, timeout=tokens.SECONDS)
    if result.status != 0:
        raise CommandFailed(transport.host, "asking what pods trust", result.status, "", result.stderr)
    return understood(transport.host, lambda: tokens.parse(result.stdout))


def _require_next(root: str, at: Step | None, step: Step, inventory: Path) -> None:
    if at is step.before:
        return
    words, following = (f"its step {at} is the last that was made", at.next) if at else ("none is under way", Step.ADD)
    raise InputError(
        f"step {step} of the rotation of {root} cannot be made now: {words}",
        hint=f"next: k8s-installer certs rotate {root} {following or at} -i {inventory}",
    )


def _closing(root: str, step: Step, inventory: Path) -> Iterator[str]:
    yield f"{root}: {_WORDS.get(root, _OF_CA)[step]}"
    if root == API and step in _ELSEWHERE:
        yield _ELSEWHERE[step]
    following = f"rotate {root} {step.next}" if step.next else "status"
    yield f"Next: k8s-installer certs {following} -i {inventory}"
