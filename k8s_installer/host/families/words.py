"""What differs of a setting, and what setting it does, in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from k8s_installer.host.families import addons
from k8s_installer.host.families.families import (
    ADDON,
    ADDONS,
    HOSTS_FILE,
    IMAGE,
    JOURNAL,
    NOTHING,
    SELINUX,
    USER,
    VOLATILE,
    states,
)

_NAMED = 3  # hosts that are named in a reason; the rest is counted


def differs(name: str, seen: str | None, wanted: str) -> str:
    """Why a setting must be changed, in words, or nothing where it is as wanted; None is a host that has no such."""
    family, _, subject = name.partition(" ")
    if seen is None:
        return {USER: f"there is no user {subject}", IMAGE: "it is not there"}.get(family, "")
    if family in _OWN_WORDS:
        return _OWN_WORDS[family](seen, wanted)
    (now, boot), (wanted_now, wanted_boot) = states(seen), states(wanted)
    if family == JOURNAL and wanted_now == VOLATILE and boot == wanted_boot:
        return ""  # a journal that is on the disk stays there until the next boot
    if family == SELINUX and wanted == "permissive":
        now, boot = (state.replace("disabled", "permissive") for state in (now, boot))
    # SELinux comes and goes with a boot alone: until then permissive is as good as disabled, and disabled stays
    pending = family == SELINUX and "disabled" in (now, wanted_now) and now != wanted_now
    if boot == wanted_boot and (now == wanted_now or (pending and now != "enforcing")):
        return ""
    reason = f"{seen} instead of {wanted}"
    if not pending:
        return reason
    until = "permissive" if wanted_now == "disabled" else "disabled"
    return f"{reason}; {until} until the host is rebooted"


def words(name: str, wanted: str) -> str:
    """What setting a setting does, for people."""
    family, _, subject = name.partition(" ")
    if family == IMAGE:
        return f"load {name}"
    if family == ADDON:
        return f"{'take out' if wanted == addons.NONE else 'apply'} addon {subject}"
    return "take out addons" if family == ADDONS else f"set {name} to {_shown(name, wanted)}"


def one_way(name: str) -> bool:
    """Whether a rollback cannot bring back what was there: the manifest of an addon that is gone is the user's."""
    return name == ADDONS


def _shown(name: str, wanted: str) -> str:
    if name != HOSTS_FILE or wanted == NOTHING:
        return wanted
    count = wanted.count(",") + 1
    return f"{count} name{'s' * (count != 1)}"


def block(name: str, text: str) -> tuple[str, bytes] | None:
    """The file that a setting has lines in, and these lines; None where a value is all that there is to show."""
    if name != HOSTS_FILE:
        return None
    lines = () if text == NOTHING else text.split(",")
    return "/etc/hosts", "".join(f"{line.replace('=', ' ')}\n" for line in lines).encode()


def _names_differ(seen: str, wanted: str) -> str:
    if seen == wanted:
        return ""
    old, new = ({} if text == NOTHING else dict.fromkeys(text.split(",")) for text in (seen, wanted))
    said = (
        ("without", [entry for entry in new if entry not in old]),
        ("with", [entry for entry in old if entry not in new]),
    )
    parts = [f"{word} {_some(entries)}" for word, entries in said if entries]
    return f"it is {', '.join(parts)}" if parts else "its names stand in another order"


def _some(entries: Sequence[str]) -> str:
    text = ", ".join(entry.replace("=", " ") for entry in entries[:_NAMED])
    return f"{text} and {len(entries) - _NAMED} more" if len(entries) > _NAMED else text


_OWN_WORDS: Mapping[str, Callable[[str, str], str]] = {
    HOSTS_FILE: _names_differ,
    ADDONS: addons.beyond,
    ADDON: addons.differs,
}
