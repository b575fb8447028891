"""From an inventory file to what is wanted: joins the inventory, its profile, the keys and the templates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from k8s_installer import desired, inventory, pki, profiles, render
from k8s_installer.desired import leftovers
from k8s_installer.desired.certificates import leaves
from k8s_installer.desired.context import of_cluster
from k8s_installer.desired.record import evidence, found
from k8s_installer.errors import InputError, InventoryError
from k8s_installer.inventory import Allocations, Cluster, Role
from k8s_installer.inventory.allocations import NONE, Settled
from k8s_installer.model.desired import Desired
from k8s_installer.model.resources import File, Leaves, Ref, Seen
from k8s_installer.model.rotation import Advance
from k8s_installer.sources import tarball
from k8s_installer.untrusted import userfile
from k8s_installer.untrusted.userfile import UnreadableError

if TYPE_CHECKING:
    from k8s_installer.planning.etcd.restoring import Restored

RECORD = "allocations"  # beside the keys and the journal
Keys = Callable[[Cluster, profiles.Profile], pki.Pki]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the user asked for, resolved: the cluster, its version's profile, its keys, and every wanted resource.

    `cluster` and `desired` may be the part that a command is limited to. `inventory` is the cluster as the file says,
    `cluster` the one in which everything is allocated, and `evidence` what hosts are asked for about that. `roots` are
    the files by which the masters show whose keys the cluster has; they are looked at even where a plan is about a node
    that has none yet. `whole` is all that the inventory wants, whatever part `desired` is; `beside` is what else is
    looked at, because it decides whether that part may be carried out. `undoes` are the names of past runs, if what is
    wanted is what was there before them. `only` are the components that a command is limited to, `limit` the hosts;
    None is no limit. With `resets` nothing is wanted of the hosts of `cluster`, and other hosts stay as they are. With
    `data` what leaves a host takes its data along, and the keys in the folder
    `keys_to_delete` of this machine. `asked` is all that the inventory asks for, also in a reset.
    `renews` are the certificates in the local folder that a renewal issues again, by the names of their leaves; None is
    no renewal. `advance` is the step of a rotation that is to be made; `beside` is then what hosts must have before it.
    `restores` is what is wanted where etcd's data is replaced.
    """

    cluster: Cluster
    profile: profiles.Profile
    keys: pki.Pki
    desired: Desired
    inventory: Cluster
    given: Settled
    evidence: Desired
    roots: Desired
    whole: Desired
    asked: Desired
    beside: Desired = field(default_factory=dict)
    undoes: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    limit: frozenset[str] | None = None
    restores: Restored | None = None
    resets: bool = False
    data: bool = False
    keys_to_delete: str = ""
    renews: frozenset[str] | None = None
    advance: Advance | None = None

    @property
    def moves_members(self) -> bool:
        """Whether etcd's members become those of the inventory: neither a reset nor a renewal is about them."""
        return not self.resets and self.renews is None


def state_folder(cluster: Cluster) -> Path:
    """Where a cluster's keys and journals are kept on this machine: beside its inventory."""
    return cluster.folder / ".k8s-installer" / cluster.name


def recorded(cluster: Cluster) -> Allocations:
    """What is allocated in a cluster, as far as it is known on this machine.

    Raises:
        InputError: the record cannot be read.
    """
    path = state_folder(cluster) / RECORD
    try:
        return inventory.read_allocations(userfile.text(path))
    except UnreadableError as error:
        match error.__cause__:
            case FileNotFoundError():
                return NONE
            case NotADirectoryError():
                raise _no_folder(cluster) from None
            case PermissionError():
                hint = "run k8s-installer as the user that this file belongs to"
                raise InputError(f"cannot read {path}: {error}", hint=hint) from None
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    hint = "remove it: the masters have the same record, and it will be read from there"
    return InputError(f"cannot read {path}: {error}", hint=hint)


def _no_folder(cluster: Cluster) -> InputError:
    own = state_folder(cluster)
    path = own if own.parent.is_dir() else own.parent
    hint = "move it away: the cluster's keys and journals are kept in a folder of this name"
    return InputError(f"{path} is not a folder", hint=hint)


def keep(cluster: Cluster, allocations: Allocations) -> None:
    """Record on this machine what is allocated in a cluster.

    Raises:
        InputError: the record cannot be written.
    """
    path = state_folder(cluster) / RECORD
    new = path.with_name(f"{RECORD}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(allocations.text(), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def checked(path: Path) -> tuple[Cluster, profiles.Profile]:
    """Read and check an inventory and find the profile of its version; touches nothing.

    Raises:
        InventoryError: anything is wrong with it, its version or its flags; every finding at once.
    """
    return accepted(inventory.load(path, profiles.flag_hint))


def accepted(cluster: Cluster) -> tuple[Cluster, profiles.Profile]:
    """Check an inventory against the profile of its version, as `checked` does.

    Raises:
        InventoryError: as for `checked`.
    """
    profile = profiles.profile_of(cluster)
    findings = [*desired.check(cluster, profile), *inventory.settle(cluster, recorded(cluster)).findings]
    if findings:
        raise InventoryError(sorted(findings))
    return cluster, profile


def resolve(path: Path, templates: Path | None, keys: Keys | None) -> Resolved:
    """Read an inventory and work out everything it wants; see `checked` and `desire`."""
    return desire(*checked(path), templates, keys)


def desire(
    cluster: Cluster,
    profile: profiles.Profile,
    templates: Path | None,
    keys: Keys | None,
    kept: Allocations | None = None,
) -> Resolved:
    """Work out everything that a checked inventory wants.

    Args:
        cluster: the inventory.
        profile: that of its version.
        templates: a folder whose templates come before the packaged ones; `templates/` beside the inventory
            is used where this is None.
        keys: gives the cluster's keys; None leaves placeholders in their place, and in that of programs.
        kept: what was allocated before; what is recorded on this machine where this is None.

    Raises:
        InputError, TemplateError: what the user wrote is wrong; nothing was touched.
    """
    if templates is not None and not templates.is_dir():
        raise InputError(f"--templates: there is no folder {templates}")
    own = templates or cluster.folder / "templates"
    renderer = render.Renderer([own] if own.is_dir() else [], sandboxed=profiles.has_own(cluster))
    programs = tarball.programs(cluster, profile) if keys else desired.PLACEHOLDERS
    kept = recorded(cluster) if kept is None else kept
    present = keys(cluster, profile) if keys else pki.placeholder(leaves(cluster, profile))
    wanted = desired.desire(cluster, profile, present, renderer, programs, kept)
    if cluster.bundle:
        # most have none, and its metadata and checks take long to load
        from k8s_installer import bundle
        from k8s_installer.desired.bundled import bundled

        media = bundle.media(
            bundle.opened(Path(cluster.bundle), pinned=cluster.bundle_sha256), cluster, profile, wanted
        )
        wanted = bundled(wanted, media, renderer, of_cluster(cluster, profile), profile.runtime)
    settled = inventory.settle(cluster, kept)
    return Resolved(
        cluster=settled.cluster,
        profile=profile,
        keys=present,
        desired=wanted,
        inventory=cluster,
        given=settled,
        evidence=evidence(cluster, wanted, profile),
        roots=_roots(cluster, wanted),
        whole=wanted,
        asked=wanted,
    )


def _roots(cluster: Cluster, wanted: Desired) -> Desired:
    masters, roots = {host.name for host in cluster.having(Role.MASTER)}, frozenset(pki.ROOTS)
    return {
        ref: item
        for ref, item in wanted.items()
        if ref.host in masters and isinstance(item.resource, File) and not roots.isdisjoint(item.resource.made_of)
    }


def corrected(wanted: Resolved, seen: Mapping[Ref, Seen]) -> Allocations | None:
    """What is allocated on the hosts, if what is wanted assumes something else; None if it is right.

    Raises:
        InstallerError: the allocations are unknown.
    """
    kept = found(wanted.inventory, wanted.evidence, seen, wanted.given.allocations, wanted.profile)
    again = inventory.settle(wanted.inventory, kept)
    right = (again.allocations, again.moved) == (wanted.given.allocations, wanted.given.moved)
    return None if right and not again.findings else kept


def leaves_of(wanted: Resolved) -> Callable[[str, str], Leaves | None]:
    """What gives what a component or file leaves on a host; see `desired.leftovers.leaves_of`."""
    renderer = render.Renderer([], sandboxed=profiles.has_own(wanted.cluster))

    def text(template: str) -> str:
        context = of_cluster(wanted.cluster, wanted.profile)
        return renderer.text(template, context, wanted.cluster.name, where=f"{wanted.profile.version}: leaves")

    return leftovers.leaves_of(wanted.profile, wanted.asked, text)


def with_keys(wanted: Resolved, whole: Resolved) -> Resolved:
    """The same, with what was pending as it is in `whole`, whose keys are all made.

    What is wanted may be a part of the cluster, or what was before a run: only files that have keys in them change.
    """
    made = {
        ref: replace(item, resource=whole.desired[ref].resource)
        for ref, item in wanted.desired.items()
        if isinstance(item.resource, File) and item.resource.pending
    }
    return replace(wanted, keys=whole.keys, desired={**wanted.desired, **made})


def present_keys(cluster: Cluster, profile: profiles.Profile) -> pki.Pki:
    """The cluster's keys as its local folder has them; placeholders for what `apply` would make. Writes nothing."""
    return pki.look(pki_folder(cluster), leaves(cluster, profile))


def real_keys(cluster: Cluster, profile: profiles.Profile) -> pki.Pki:
    """The cluster's keys from its local folder, made there where they do not exist yet."""
    return pki.ensure(pki_folder(cluster), leaves(cluster, profile))


def note_use(cluster: Cluster, profile: profiles.Profile, files: Collection[str]) -> None:
    """Record here that hosts have or are given these files: other roots in their place will be refused."""
    pki.note_use(pki_folder(cluster), leaves(cluster, profile), files)


def pki_folder(cluster: Cluster) -> Path:
    """Where the cluster's keys and certificates are."""
    return state_folder(cluster) / "pki"


def renamed_from(cluster: Cluster, sums: Collection[str]) -> str:
    """The cluster whose folder is beside this one's and has a CA with one of these sums; empty if none has."""
    own = state_folder(cluster)
    for path in sorted(own.parent.glob("*/pki/*.crt")):
        with suppress(UnreadableError):
            if path.parent.parent != own and hashlib.sha256(userfile.content(path)).hexdigest() in sums:
                return path.parent.parent.name
    return ""
