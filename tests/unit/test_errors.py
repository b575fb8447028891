from __future__ import annotations

from k8s_installer.errors import CommandFailed, Finding, HostsError, TransportError, did_you_mean


def test_a_command_that_failed_says_its_last_words_and_keeps_the_rest() -> None:
    error = CommandFailed("m1", "yum install", 1, "a\nb\n", "warning\nNo package etcd available.\n")
    assert error.message == "m1: yum install: exit 1: No package etcd available."
    assert error.stderr.startswith("warning")
    assert CommandFailed("m1", "true", 1, "", "").message == "m1: true: exit 1: no output"


def test_the_trouble_of_several_hosts_is_one_message_with_every_hint() -> None:
    error = HostsError([TransportError("m1", "no route", hint="is it up?"), TransportError("n1", "refused")])
    assert error.message == "m1: no route\n  is it up?\nn1: refused"


def test_a_finding_reads_like_a_compilers() -> None:
    assert str(Finding("c.yaml", 3, "wrong", "did you mean right?")) == "c.yaml:3: wrong (did you mean right?)"
    assert str(Finding("c.yaml", 0, "wrong")) == "c.yaml: wrong"


def test_the_nearest_known_word_is_asked_for_and_nothing_where_none_is_near() -> None:
    assert did_you_mean("kubelte", frozenset({"docker", "kubelet"})) == "did you mean kubelet?"
    assert did_you_mean("zzz", ["docker"]) == ""


def test_a_word_that_is_empty_is_near_none() -> None:
    assert did_you_mean("", ["", "lab"]) == ""
    assert did_you_mean("lba", ["", "lab"]) == "did you mean lab?"
