from __future__ import annotations

import pytest

from k8s_installer.host.evidence import END, ERRORS, LONGEST, MOST_LINES, clipped, exited, shortened, why

# What a kubelet with a bad flag left on the lab, after 27 restarts: six of its lines of each kind are enough here.
STATUS = """\
\u25cf kubelet.service - Kubernetes Kubelet Server
     Loaded: loaded (/lib/systemd/system/kubelet.service; enabled; preset: disabled)
    Drop-In: /etc/systemd/system/kubelet.service.d
             \u2514\u250010-restart.conf
             `-10-restart.conf, 99-more.conf
     Active: activating (auto-restart) (Result: exit-code) since Thu 2026-11-26 02:31:32 UTC; 1s ago
       Docs: https://github.com/GoogleCloudPlatform/kubernetes
    Process: 4101 ExecStartPre=/bin/true (code=exited, status=0/SUCCESS)
    Process: 4111 ExecStart=/usr/bin/kubelet --x (code=exited, status=255/EXCEPTION)
   Main PID: 4111 (code=exited, status=255/EXCEPTION)
      Until: Thu 2026-11-26 03:07:27 UTC; 1s left
        CPU: 112ms
     CGroup: /system.slice/kubelet.service
             `-4111 /usr/bin/kubelet --x
"""
HEAD = "Nov 26 02:31:3{0} n1 kubelet[41{0}0]: "


def journal(count: int) -> str:
    lines = []
    for number in range(count):
        head = HEAD.format(number)
        lines += [
            f"Nov 26 02:31:3{number} n1 systemd[1]: Started Kubernetes Kubelet Server.",
            f'{head}I1126 02:31:3{number}.1 41{number}0 server.go:416] "Kubelet version" v="1.20"',
            f"{head}E1126 02:31:3{number}.2 41{number}0 server.go:292] failed to run Kubelet: invalid cgroup driver",
            f"{head}F1126 02:31:3{number}.3 41{number}0 server.go:269] Error: failed to run Kubelet",
            f"{head}      --address ip   The IP address",
            f"{head}goroutine 738 [chan receive]:",
            f"{head}k8s.io/kubernetes/vendor/k8s.io/apimachinery/pkg/watch.(*Broadcaster).loop(0xc00073e240)",
            f"{head}k8s.io/kubernetes/vendor/k8s.io/client-go/tools/record.(*eventBroadcasterImpl).StartEventWatcher.func1()",
            f"{head}        k8s.io/kubernetes/vendor/k8s.io/client-go/tools/record/event.go:301 +0x73",
            f"{head}created by k8s.io/kubernetes/vendor/k8s.io/apimachinery/pkg/watch.NewBroadcaster",
        ]
    return "\n".join(lines)


def test_a_unit_that_fails_again_and_again_says_its_words_once() -> None:
    text = f"{STATUS}--- errors in its journal\n{journal(6)}\n--- end of its journal\n{journal(6)}\n"
    assert shortened(text).splitlines() == [
        "     Active: activating (auto-restart) (Result: exit-code) since Thu 2026-11-26 02:31:32 UTC; 1s ago",
        "    Process: 4111 ExecStart=/usr/bin/kubelet --x (code=exited, status=255/EXCEPTION)",
        "   Main PID: 4111 (code=exited, status=255/EXCEPTION)",
        "--- errors in its journal",
        f"{HEAD.format(5)}E1126 02:31:35.2 4150 server.go:292] failed to run Kubelet: invalid cgroup driver",
        f"{HEAD.format(5)}F1126 02:31:35.3 4150 server.go:269] Error: failed to run Kubelet",
    ]


def test_what_was_said_besides_an_error_follows_it() -> None:
    text = (
        "--- errors in its journal\na: Error: x\n--- end of its journal\na: Error: x\na: no such file\na: Started X.\n"
    )
    assert shortened(text).splitlines() == [
        "--- errors in its journal",
        "a: Error: x",
        "--- end of its journal",
        "a: no such file",
    ]


def test_a_unit_that_says_nothing_but_good_says_that() -> None:
    text = "--- errors in its journal\n--- end of its journal\nn1 docker[1]: level=info msg=hello\n"
    assert shortened(text).splitlines() == ["--- end of its journal", "n1 docker[1]: level=info msg=hello"]


def test_information_of_three_thousand_characters_is_no_evidence() -> None:
    info = f'n1 dockerd[1]: time="2026-11-26T02:00:00Z" level=info msg="{"fatal " * 500}"'
    text = f"--- errors in its journal\n{info}\nn1 dockerd[1]: fatal: no device\n--- end of its journal\n{info}\n"
    assert shortened(text).splitlines() == ["--- errors in its journal", "n1 dockerd[1]: fatal: no device"]


def test_it_is_never_longer_than_a_screen() -> None:
    lines = "\n".join(f"n1 a[1]: word {number}" for number in range(100))
    for text in (lines, f"x\n--- errors in its journal\n{lines}\n--- end of its journal\n{lines}"):
        assert len(shortened(text).splitlines()) == MOST_LINES
    assert shortened(f"x\n--- end of its journal\n{lines}").endswith("word 99")
    assert shortened("a\nb\n--- end of its journal\nc", most=2) == "a"


def test_a_status_of_many_lines_leaves_room_for_the_errors() -> None:
    status = "\n".join(f"     word {number} of the status" for number in range(40))
    errors = "\n".join(f"n1 a[1]: Error: {number}" for number in range(6))
    ends = "\n".join(f"n1 a[1]: end {number}" for number in range(20))
    shown = shortened(f"Active: failed\n{status}\n{ERRORS}\n{errors}\n{END}\n{ends}").splitlines()
    assert len(shown) == MOST_LINES
    assert shown[0] == "Active: failed"
    assert shown[-14:-7] == [ERRORS, *errors.splitlines()]
    assert shown[-7:] == [END, *ends.splitlines()[-6:]]
    shown = shortened(f"Active: failed\n{status}\n{ERRORS}\n{errors}\n{END}\n").splitlines()
    assert (len(shown), shown[-7:]) == (MOST_LINES, [ERRORS, *errors.splitlines()])


@pytest.mark.parametrize("length", [1, LONGEST, LONGEST + 1, 5000])
def test_a_long_line_loses_its_middle(length: int) -> None:
    line = ("starts " + "x" * length)[: length - 4] + " end" if length > 20 else "x" * length
    found = clipped(line)
    assert len(found) <= LONGEST
    assert (found == line) is (len(line) <= LONGEST)
    if len(line) > LONGEST:
        assert found.startswith("starts xx")
        assert found.endswith("xx end")
        assert "x ... x" in found


def test_a_flag_in_what_failed_is_no_page_of_usage() -> None:
    head = "Nov 26 04:11:45 m1 kube-apiserver[1553]: "
    lines = [
        f"{head}Error: --etcd-servers-overrides invalid, must be of format: group/resource#servers",
        f"{head}Error: failed to watch *v1.Node (0xc000): it timed out",
    ]
    usage = [
        f"{head}      --v Level   number for the log level",
        f"{head}k8s.io/kubernetes/vendor/k8s.io/apimachinery/pkg/util/wait.Until(...)",
        f"{head}        k8s.io/kubernetes/vendor/k8s.io/apimachinery/pkg/util/wait/wait.go:90",
    ]
    shown = shortened("\n".join(["Active: failed", ERRORS, *lines, *usage, END, *usage])).splitlines()
    assert shown == ["Active: failed", ERRORS, *lines]


@pytest.mark.parametrize(
    ("detail", "cause", "hints", "evidence"),
    [
        ("", "", (), 0),
        ("did not pass within 60 s: HTTP 500", "did not pass within 60 s: HTTP 500", (), 0),
        ("Job failed\n\nsee journalctl", "Job failed", (), 2),
        (f"Active: failed\n{ERRORS}\n{HEAD.format(5)}F1126 02:31:35.3 4150 server.go:269] Error: bad flag", "kubelet: Error: bad flag", (), 3),
        (f"Active: failed\n{ERRORS}", "Active: failed", (), 2),
        (f"given up\n{END}\nNov 26 02:31:30 m1 systemd[1]: Exited\n{HEAD.format(1)}no file", "kubelet: no file", (), 4),
        (f"did not pass within 9 s: no answer\n{ERRORS}\nE: a warning", "did not pass within 9 s: no answer", (), 3),
        ("Loading\nNo space left on device\nhint: free space", "No space left on device", ("free space",), 2),
        ("lost\nhint: try again", "lost", ("try again",), 0),
        ("given up\npod x is there\nto allow more time: --drain-timeout SECONDS", "given up", ("to allow more time: --drain-timeout SECONDS",), 2),
    ],
)  # fmt: skip
def test_a_failure_has_one_cause_hints_and_evidence(
    detail: str, cause: str, hints: tuple[str, ...], evidence: int
) -> None:
    found = why(detail)
    assert (found.cause, found.hints, len(found.evidence)) == (cause, hints, evidence)


# What the lab's kubelet says of no reason to end, before the one that it ends for.
KUBELET = "Nov 27 05:14:05 n1 kubelet[16962]: "
HARMLESS = [
    f"{KUBELET}W1127 05:14:05.1   16962 oom_linux.go:1] write /proc/self/oom_score_adj: permission denied",
    f"{KUBELET}W1127 05:14:05.2   16962 container_manager_linux.go:1] CPUAccounting not enabled for pid: 13599",
    "Nov 27 05:14:06 n1 systemd-journald[44]: Suppressed 28743 messages from kubelet.service",
]
ERROR = f"{KUBELET}E1127 05:14:05.645526   16962 server.go:1165] Failed to set rlimit on max file handles"
FATAL = (
    f"{KUBELET}F1127 05:14:05.849865   16962 kubelet.go:1350] Failed to start ContainerManager failed to initialize top "
    "level QOS containers: root container [kubepods] doesn't exist"
)


def test_why_a_program_ended_is_what_it_ended_with() -> None:
    lines = ["given up after 9 s: refused", ERRORS, *HARMLESS, ERROR, FATAL, END, f"{KUBELET}goroutine"]
    found = why("\n".join(lines))
    assert found.cause.startswith("kubelet: Failed to start ContainerManager failed")
    assert found.hints == ()
    paniced = why("\n".join([*lines[:-3], f"{KUBELET}panic: no address"]))
    assert paniced.cause == "kubelet: panic: no address"


@pytest.mark.parametrize("section", [ERRORS, END])
def test_a_warning_and_journald_are_never_why(section: str) -> None:
    found = why("\n".join(["given up after 9 s: refused", section, *HARMLESS]))
    assert found.cause == "given up after 9 s: refused"
    assert found.hints[0].startswith("journald left out 28743 messages of kubelet, perhaps the reason; to see all: ")
    assert (
        why("\n".join(["given up", section, *HARMLESS, ERROR])).cause
        == "kubelet: Failed to set rlimit on max file handles"
    )


def test_how_often_a_unit_has_exited() -> None:
    assert (
        exited("Main PID: 7 (code=exited, status=255/EXCEPTION)", "kubelet", 3)
        == "kubelet has exited 3 times (status 255)"
    )
    assert exited("Active: active", "kubelet", 1) == "kubelet has exited 1 time"
    assert exited("code=exited, status=255", "kubelet", 0) == ""
