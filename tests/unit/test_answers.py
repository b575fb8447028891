from __future__ import annotations

from collections.abc import Callable

import pytest

from k8s_installer.errors import HostError, MalformedAnswer
from k8s_installer.untrusted import answers
from k8s_installer.untrusted.answers import Malformed, understood


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (answers.whole, ""),
        (answers.whole, "-1"),
        (answers.whole, "+1"),
        (answers.whole, "1_0"),
        (answers.whole, "²"),
        (answers.whole, "9" * 5000),  # int() itself refuses so many
        (answers.hexadecimal, "0x1"),
        (answers.hexadecimal, "1" * 9),
        (answers.seconds, "1e999"),
        (answers.seconds, "nan"),
        (answers.seconds, "9" * 12),  # no calendar has it
        (answers.seconds, "1."),
        (answers.from_base64, "ä"),
        (answers.from_base64, "abc"),
    ],
)
def test_what_is_no_number_of_a_host_is_malformed(read: Callable[[str, str], object], text: str) -> None:
    with pytest.raises(Malformed):
        read(text, "a number")


def test_numbers_of_hosts_are_read() -> None:
    assert answers.whole("0812", "x") == 812
    assert answers.hexadecimal("81a4", "x") == 0o100644
    assert (answers.seconds("-1.5", "x"), answers.seconds("1700000000.000000001", "x")) == (-1.5, 1.7e9)
    assert answers.from_base64("aGVsbG8=", "x") == b"hello"


def test_only_a_newline_ends_a_line() -> None:
    assert answers.lines("a\rb\x0b\x85\u2028c\n\nd") == ["a\rb\x0b\x85\u2028c", "", "d"]
    assert answers.lines("a\n") == ["a"]
    with pytest.raises(Malformed, match="more than 1,000,000 lines"):
        answers.lines("\n" * 1_000_001)


def test_json_is_an_object_or_nothing() -> None:
    assert answers.json_object('{"a": 1}') == {"a": 1}
    for text in ("[1]", "no", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, ""):
        assert answers.json_object(text) == {}
    assert answers.at({"a": {"b": {"c": 1}}}, "a", "b") == {"c": 1}
    assert answers.at({"a": [1]}, "a", "b") == {}
    assert list(answers.objects([{"a": 1}, 2, None])) == [{"a": 1}]
    assert list(answers.objects({"a": 1})) == []
    assert (answers.texts(["a", 1]), answers.texts("a")) == (["a"], [])
    assert (answers.text("a"), answers.text(1)) == ("a", "")


def test_what_is_malformed_has_the_hosts_name_and_little_of_its_words() -> None:
    def parse() -> int:
        return answers.whole("\x1b[2J" * 100_000, "a port")

    with pytest.raises(MalformedAnswer, match=r"^m1: its answer cannot be read: a port: '\\x1b\[2J") as caught:
        understood("m1", parse)
    assert len(caught.value.message) < 500
    assert understood("m1", lambda: 7) == 7


def test_an_error_of_a_host_is_short_whatever_the_host_said() -> None:
    assert len(HostError("m1", "x" * 1_000_000).message) < 2100
