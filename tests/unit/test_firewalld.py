"""firewalld's ports through every edit of `firewall:`, each in one apply, with stand-ins for its programs.

The scripts are real, and so is the order of their plans. firewall-cmd answers while firewalld runs and not otherwise,
firewall-offline-cmd the other way round; what firewalld starts with is the permanent configuration.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from k8s_installer.host import observe
from k8s_installer.host.perform import script
from k8s_installer.model.desired import Desired, DesiredResource, Turn
from k8s_installer.model.plan import Action, Plan
from k8s_installer.model.resources import Kind, Missing, Ref, Resource, Seen, SeenSetting, Setting, Unit
from k8s_installer.planning import records
from k8s_installer.planning.adopting import with_adopted
from k8s_installer.planning.leaving import with_leaving
from k8s_installer.planning.make import make_plan
from tests.unit.test_host_settings import run
from tests.unit.test_perform import program

# The folders `now` and `boot` have a file of ports and one of sources; there is `now` while firewalld runs.
EDIT = r"""
file=$TEST/$folder/ports
for word do
  case $word in
    --zone=trusted) file=$TEST/$folder/sources ;;
    --permanent) ;;
    --list-*) echo $(cat "$file") ;;
    --add-*) grep -qx "${word#*=}" "$file" || echo "${word#*=}" >>"$file" ;;
    --remove-*) sed -i "\\#^${word#*=}\$#d" "$file" ;;
    *) exit 2 ;;
  esac
done
echo "${0##*/} $*" >>"$TEST/calls"
"""
FIREWALL_CMD = f"""
[ -d "$TEST/now" ] || {{ echo 'FirewallD is not running' >&2; exit 252; }}
case " $* " in *' --permanent '*) folder=boot ;; *) folder=now ;; esac
{EDIT}"""
OFFLINE_CMD = f"""
[ ! -d "$TEST/now" ] || {{ echo 'FirewallD is running' >&2; exit 1; }}
folder=boot
{EDIT}"""
SYSTEMCTL = r"""
shown() { # unit active sub pid started
  [ ! -e "$TEST/enabled" ] && [ "$1" = firewalld ] && enabled=disabled || enabled=enabled
  printf '%s\n' Id=$1.service LoadState=loaded ActiveState=$2 SubState=$3 UnitFileState=$enabled MainPID=$4 \
    ExecMainStartTimestampMonotonic=$5 NeedDaemonReload=no ''
}
[ "$1" = show ] || echo "$*" >>"$TEST/calls"
case "$1 $2" in
  'show '*) for word do
      case $word in
        firewalld.service) if [ -d "$TEST/now" ]; then shown firewalld active running 7 1
          else shown firewalld inactive dead 0 1; fi ;;
        docker | docker.service) shown docker active running 8 "$(cat "$TEST/docker")" ;;
      esac
    done ;;
  'is-active firewalld') [ -d "$TEST/now" ] ;;
  'is-enabled firewalld') [ -e "$TEST/enabled" ] ;;
  'enable firewalld') : >"$TEST/enabled" ;;
  'disable firewalld') rm -f "$TEST/enabled" ;;
  'restart firewalld') rm -rf "$TEST/now"; cp -r "$TEST/boot" "$TEST/now" ;;
  'stop firewalld') rm -rf "$TEST/now" ;;
  'restart docker') sleep 0.02 # what is within a hundredth of a second of the start is in doubt, before it and after
    read -r up idle </proc/uptime
    echo $((${up%.*} * 1000000 + (1${up#*.} - 100) * 10000)) >"$TEST/docker"
    sleep 0.02 ;;
  'reset-failed '*) ;;
  *) echo "systemctl $*" >&2; exit 9 ;;
esac
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host where firewalld runs, with a port of its owner's."""
    (tmp_path / "bin").mkdir()
    for folder in ("now", "boot"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ports").write_text("22/tcp\n")
        (tmp_path / folder / "sources").write_text("")
    (tmp_path / "enabled").touch()
    (tmp_path / "docker").write_text("1\n")
    for name, text in (("firewall-cmd", FIREWALL_CMD), ("firewall-offline-cmd", OFFLINE_CMD), ("systemctl", SYSTEMCTL)):
        program(tmp_path / "bin", name, f"TEST={tmp_path}\n{text}")
    return tmp_path


def want(kind: Kind, name: str, resource: Resource) -> DesiredResource:
    return DesiredResource(Ref("n1", kind, name), resource, "host", (), "a test", Turn("nodes", "n1"))


def wanted(*items: DesiredResource) -> Desired:
    return {item.ref: item for item in items}


OURS = ("2379/tcp", "10250/tcp")
MANAGED = wanted(
    *(want(Kind.SETTING, f"firewalld-port {port}", Setting("open")) for port in OURS),
    want(Kind.SETTING, "firewalld-source 10.244.0.0/16", Setting("trusted")),
)
DISABLED = wanted(want(Kind.UNIT, "firewalld", Unit("firewalld", active=False, enabled=False)))
IGNORED = wanted()
DOCKER = wanted(want(Kind.UNIT, "docker", Unit("docker", cleared_by=("firewalld",))))
OPENED = [f"set firewalld-port {port}" for port in OURS] + ["set firewalld-source 10.244.0.0/16"]


def look(host: Path, items: Iterable[DesiredResource]) -> dict[Ref, Seen]:
    asked = list(items)
    done = run(host, observe.script(asked))
    return dict(observe.parse(done.stdout, asked))


def planned(host: Path, whole: Desired) -> Plan:
    seen = look(host, [*whole.values(), records.question("n1")])
    desired = with_leaving(whole, whole, seen, ["n1"], None)
    seen |= look(host, [item for item in desired.values() if item.leaving])
    desired = with_adopted(desired, seen)
    return records.recording(make_plan(desired, seen), desired, seen)


def applied(host: Path, whole: Desired) -> list[str]:
    """What one apply does, after which nothing is left to do."""
    plan = planned(host, whole)
    done = run(host, script(list(enumerate(plan.changes))))
    assert done.returncode == 0, done.stdout
    assert not planned(host, whole)
    return [f"{change.action} {change.ref.name}" for change in plan.changes]


def ports(host: Path, folder: str) -> set[str]:
    return set((host / folder / "ports").read_text().split())


def test_ports_open_and_close_while_firewalld_runs(host: Path) -> None:
    assert applied(host, MANAGED) == OPENED
    assert ports(host, "now") == ports(host, "boot") == {"22/tcp", *OURS}
    assert sorted(applied(host, IGNORED)) == sorted(OPENED)
    assert ports(host, "now") == ports(host, "boot") == {"22/tcp"}


def test_a_firewalld_that_is_to_run_again_starts_with_the_ports(host: Path) -> None:
    assert applied(host, DISABLED) == ["stop firewalld"]
    assert applied(host, MANAGED) == [*OPENED, "start firewalld"]
    assert ports(host, "now") == ports(host, "boot") == {"22/tcp", *OURS}
    assert (host / "enabled").exists()


def test_a_firewalld_that_is_to_be_off_stops_first_and_has_no_ports_of_ours_left(host: Path) -> None:
    applied(host, MANAGED)
    steps = applied(host, DISABLED)
    assert (steps[0], sorted(steps[1:])) == ("stop firewalld", sorted(OPENED))
    assert not (host / "now").exists()
    assert ports(host, "boot") == {"22/tcp"}
    assert applied(host, IGNORED) == ["start firewalld"]
    assert ports(host, "now") == {"22/tcp"}


def test_an_edit_that_was_cut_off_after_the_stop_is_resumed(host: Path) -> None:
    applied(host, MANAGED)
    plan = planned(host, DISABLED)
    run(host, script([(0, plan.changes[0])]))
    assert sorted(applied(host, DISABLED)) == sorted(OPENED)
    assert ports(host, "boot") == {"22/tcp"}


@pytest.mark.parametrize(("before", "after"), [(IGNORED, DISABLED), (DISABLED, IGNORED)])
def test_what_it_clears_is_due_to_restart_even_if_the_run_is_cut_off(
    host: Path, before: Desired, after: Desired
) -> None:
    applied(host, {**before, **DOCKER})
    plan = planned(host, {**after, **DOCKER})
    assert [change.ref.name for change in plan.changes] == ["firewalld", "docker"]
    run(host, script([(0, plan.changes[0])]))
    (again,) = planned(host, {**after, **DOCKER}).changes
    assert (again.action, again.reason) == (Action.RESTART, "an interrupted run did not restart it")
    assert applied(host, {**after, **DOCKER}) == ["restart docker"]


@pytest.mark.parametrize("by_hand", ["stop firewalld", "stop firewalld; systemctl disable firewalld"])
def test_ports_do_not_count_as_gone_while_firewalld_is_down(host: Path, by_hand: str) -> None:
    applied(host, MANAGED)
    run(host, f"systemctl {by_hand}")
    assert not planned(host, MANAGED)
    assert sorted(applied(host, IGNORED)) == sorted(OPENED)
    assert ports(host, "boot") == {"22/tcp"}


def test_a_port_that_somebody_has_opened_is_never_closed(host: Path) -> None:
    for edits in ([MANAGED, IGNORED], [DISABLED, MANAGED, IGNORED], [MANAGED, DISABLED, IGNORED]):
        for folder in ("now", "boot"):
            (host / folder / "ports").write_text("22/tcp\n10250/tcp\n")
        for edit in edits:
            applied(host, edit)
        assert ports(host, "now") == ports(host, "boot") == {"22/tcp", "10250/tcp"}


def test_a_firewalld_that_starts_at_a_boot_is_set_now(host: Path) -> None:
    run(host, "systemctl stop firewalld")
    assert applied(host, MANAGED) == OPENED
    assert ports(host, "boot") == {"22/tcp", *OURS}


def test_a_firewalld_that_is_off_and_was_never_ours_costs_no_process_of_its_own(host: Path) -> None:
    run(host, "systemctl stop firewalld; systemctl disable firewalld")
    assert not planned(host, MANAGED)
    assert "firewall-offline-cmd" not in (host / "calls").read_text()


def test_a_firewalld_that_was_ours_and_is_not_any_more_stays_as_it_is(host: Path) -> None:
    applied(host, MANAGED)
    applied(host, IGNORED)
    run(host, "systemctl stop firewalld; systemctl disable firewalld")
    assert not planned(host, MANAGED)


def test_a_configuration_that_cannot_be_read_is_unknown(host: Path) -> None:
    run(host, "systemctl stop firewalld")
    program(host / "bin", "firewall-offline-cmd", "exit 1")
    assert set(look(host, MANAGED.values()).values()) == {Missing.UNKNOWN}


def test_each_is_asked_for_once(host: Path) -> None:
    run(host, "systemctl stop firewalld")
    seen = look(host, MANAGED.values())
    assert list(seen.values()) == [SeenSetting("closed"), SeenSetting("closed"), SeenSetting("other")]
    assert (host / "calls").read_text().splitlines()[1:] == [
        "is-active firewalld",
        "is-enabled firewalld",
        "firewall-offline-cmd --list-ports",
        "firewall-offline-cmd --zone=trusted --list-sources",
    ]
