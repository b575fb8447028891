"""What the value of a flag may be: the grammars of the programs' parsers (Go's strconv, time, net; pflag, klog). Pure.

Where the notations of Go have grown (`1_000`, `0b1`, hexadecimal floats), those of Kubernetes 1.5 are accepted and no
others; NaN, infinities and empty values of anything but text are refused although some programs take them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from k8s_installer.errors import did_you_mean
from k8s_installer.inventory import ArgValue, addresses
from k8s_installer.profiles.flags import Flag

Read = Callable[[str], object]  # a value's meaning, a number where it has limits; raises ValueError

_WHOLE = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[+-]?[0-9]+")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LARGEST_32 = 3.4028235677973366e38  # what rounds to the largest float32 still counts
_SPAN = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_SPANS = re.compile(rf"[+-]?(0|({_SPAN.pattern})+)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_LONGEST = 2**63 / 1e9  # seconds; a duration is nanoseconds in 64 bits
TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")
_PORTS = re.compile(r"([0-9]+)(?:([-+])([0-9]+))?")
_PORT = 65535
_WITH_PORT = re.compile(r"(\[[^\]]*\]|[^:]+):([0-9]{1,5})")
_CIDR = re.compile(r"[^/%]+/[0-9]{1,3}")
_QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_BYTES = re.compile(r"[0-9]+(\.[0-9]+)? ?([kmgtpKMGTP](i?[bB])?|[bB])?")
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_TAINT = re.compile(
    rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_NAME}((=({_NAME})?)?:(NoSchedule|PreferNoSchedule|NoExecute))?"
)
_LABEL = re.compile(rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}(=({_NAME})?)?")
_OPTION = re.compile(r"[^=,]+=(?!.*,[-\w.]+=).*")  # one pair: docker does not split at commas
_THRESHOLD_VALUE = re.compile(rf"{_QUANTITY.pattern}|[0-9]+(\.[0-9]+)?%")
_CPUS = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_MODULE = re.compile(r"[^=]+=\+?[0-9]{1,9}")
_TRACE = re.compile(r"[^:]*\.[^:]*:\+?0*[1-9][0-9]*")
_URL = re.compile(r"(https?|unixs?)://[^/\s:]*(\[[^\]/\s]*\])?:[0-9a-z.-]+")
# Of go-units, which docker reads them with.
_ULIMIT = re.compile(
    r"(core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)"
    r"=(-?[0-9]+)(?::(-?[0-9]+))?"
)
_UNLIMITED = -1
_HOUR, _TOKENS_END = 3600, 2**32  # seconds
_DOMAIN_PART = r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"\.|(?=.*[a-zA-Z]){_DOMAIN_PART}(\.{_DOMAIN_PART})*\.?")
_THRESHOLD = re.compile(r"[^<]*<.*")
_MANY = 12  # values that are still worth listing


def _whole(bits: int, *, signed: bool = True, pattern: re.Pattern[str] = _WHOLE) -> Read:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def read(text: str) -> int:
        if not pattern.fullmatch(text) or (not signed and text[0] in "+-"):
            raise ValueError
        number = _number(text.lower(), octal=pattern is _WHOLE)
        if not low <= number <= high:
            raise OverflowError(f"from {low} to {high}")
        return number

    return read


def _number(text: str, *, octal: bool) -> int:
    digits = text.lstrip("+-")
    if len(digits) > 25:  # noqa: PLR2004 - more than any type holds, and Python refuses to read thousands
        return 10**25
    base = 16 if digits.startswith("0x") else 8 if octal and len(digits) > 1 and digits[0] == "0" else 10
    return int(digits, base) * (-1 if text[0] == "-" else 1)


def _real(largest: float) -> Read:
    def read(text: str) -> float:
        if not _REAL.fullmatch(text):
            raise ValueError
        number = float(text)
        if math.isinf(number) or abs(number) >= largest:
            raise OverflowError("of a size that fits")
        return number

    return read


def _duration(text: str) -> float:
    if not _SPANS.fullmatch(text):
        raise ValueError
    seconds = sum(float(span[1]) * _SECONDS[span[2]] for span in _SPAN.finditer(text))
    if seconds >= _LONGEST:
        raise OverflowError("under 292 years")
    return -seconds if text[0] == "-" else seconds


def _matching(pattern: re.Pattern[str]) -> Read:
    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return read


def _among(words: tuple[str, ...]) -> Read:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read


def _address(text: str) -> str:
    if "%" in text:
        raise ValueError
    return str(ip_address(text))


def _network(text: str) -> str:
    if not _CIDR.fullmatch(text):
        raise ValueError
    return str(ip_interface(text))


def _address_and_port(text: str) -> str:
    return _address_with_port(text) if _WITH_PORT.fullmatch(text) else _address(text)


def _address_with_port(text: str) -> str:
    found = _WITH_PORT.fullmatch(text)
    if not found or int(found[2]) > _PORT:
        raise ValueError
    return _address(found[1].strip("[]"))


def _bound_url(text: str) -> str:
    """What etcd listens on: it looks up no name but localhost."""
    if not _URL.fullmatch(text):
        raise ValueError
    place = text.partition("://")[2]
    if not text.startswith("unix") and not place.startswith("localhost:"):
        _address_with_port(place)
    return text


def _ports(*signs: str) -> Read:
    def read(text: str) -> str:
        found = _PORTS.fullmatch(text)
        if not found or (found[2] or "") not in signs:
            raise ValueError
        first, last = int(found[1]), int(found[3] or found[1])
        last += first if found[2] == "+" else 0
        if not first <= last <= _PORT:
            raise ValueError
        return text

    return read


def _retention(text: str) -> object:
    return text if _DECIMAL.fullmatch(text) else _duration(text)


def _certificate(text: str) -> str:
    files, colon, names = text.partition(":")
    if files.count(",") != 1 or (colon and not names):
        raise ValueError
    return text


def _token_lifetime(text: str) -> float:
    seconds = _duration(text)
    if seconds and not _HOUR <= seconds <= _TOKENS_END:
        raise OverflowError("from 1h to 1193046h, or 0")
    return seconds


def _ulimit(text: str) -> str:
    found = _ULIMIT.fullmatch(text)
    if not found:
        raise ValueError
    soft, hard = int(found[2]), int(found[3] or found[2])
    if hard != _UNLIMITED and (soft == _UNLIMITED or soft > hard):
        raise OverflowError("whose first number is not above the second")
    return text


def _severity(text: str) -> object:
    return text if text.upper() in ("INFO", "WARNING", "ERROR", "FATAL") else _whole(32, pattern=_DECIMAL)(text)


@dataclass(frozen=True, slots=True)
class Form:
    """How values of one type are written: what they are called, an example, and how they are read."""

    what: str
    example: str
    read: Read


_BOOLEAN, _WHOLE_NUMBER, _DURATION = "true or false", "a whole number", "1h30m, 10s or 300ms"
_LEVEL = Form(_WHOLE_NUMBER, "2", _whole(32, pattern=_DECIMAL))
_INT32, _INT64 = Form(_WHOLE_NUMBER, "50", _whole(32)), Form(_WHOLE_NUMBER, "50", _whole(64))
_UINT64 = Form("a whole number without a sign", "50", _whole(64, signed=False))
_IP = Form("an IP address", "10.0.0.10", _address)
_CIDR_FORM = Form("a network", "10.0.0.0/16", _network)

FORMS: Mapping[str, Form] = {
    "bool": Form(_BOOLEAN, "", _among((*TRUE, *FALSE))),
    "int": _INT64, "int32": _INT32, "int64": _INT64, "uint": _UINT64, "uint64": _UINT64,
    "float32": Form("a number", "0.5", _real(_LARGEST_32)), "float64": Form("a number", "0.5", _real(math.inf)),
    "Level": _LEVEL,
    "duration": Form("a duration", _DURATION, _duration),
    "ip": _IP, "ips": _IP,
    "ipport": Form("an IP address with or without a port", "0.0.0.0:10256", _address_and_port),
    "ip-and-port": Form("an IP address with its port", "0.0.0.0:10249", _address_with_port),
    "ipNet": _CIDR_FORM, "cidr": _CIDR_FORM, "cidrs": _CIDR_FORM,
    "portRange": Form("a range of ports", "30000-32767", _ports("", "-", "+")),
    "port-range": Form("a range of ports", "30000-32767", _ports("", "-", "+")),
    "first-last": Form("a range of ports", "30000-32767", _ports("-")),
    "labels": Form("a label", "example.com/disk=ssd", _matching(_LABEL)),
    "map": Form("one option with its value", "max-size=50m; several are a list", _matching(_OPTION)),
    "mapStringString": Form("a pair", "key=value", _matching(re.compile(r"[^=]*=.*"))),
    "mapStringBool": Form(
        "a name with true or false", "SomeGate=true",
        _matching(re.compile(rf"[^=]*=({'|'.join((*TRUE, *FALSE))})")),
    ),
    "thresholds": Form("a signal with its threshold", "memory.available<100Mi", _matching(_THRESHOLD)),
    "colonSeparatedMultimapStringString": Form("a header", "name:value", _matching(re.compile(r"[^:]*:.*"))),
    "namedCertKey": Form("a certificate and its key", "FILE.crt,FILE.key or FILE.crt,FILE.key:NAME,NAME", _certificate),
    "[]api.Taint": Form("a taint", "key=value:NoSchedule", _matching(_TAINT)),
    "severity": Form("a severity", "INFO, WARNING, ERROR, FATAL or its number", _severity),
    "moduleSpec": Form("a file and its level", "proxier=4", _matching(_MODULE)),
    "traceLocation": Form("a file and a line", "server.go:120", _matching(_TRACE)),
    # a program that prints its version ends, and is restarted for ever
    "version": Form("false", "", _among(("false",))),
    "quantity": Form("a quantity", "500m or 1Gi", _matching(_QUANTITY)),
    "threshold": Form("a quantity or a percentage", "100Mi or 5%", _matching(_THRESHOLD_VALUE)),
    "percentage": Form("a percentage", "50%", _matching(re.compile(r"[0-9]+%"))),
    "cpus": Form("a list of CPUs", "0-3,7", _matching(_CPUS)),
    "urls": Form("a URL with its port", "https://10.0.0.11:2379", _matching(_URL)),
    "ip-urls": Form("a URL with an IP address and a port", "https://10.0.0.11:2379", _bound_url),
    "retention": Form("hours or a duration", "8, 30m or 1h", _retention),
    "mirror": Form("the address of a registry", "https://mirror.example.com", addresses.mirror),
    "ulimit": Form("a limit", "nofile=1024:2048", _ulimit),
    "domain": Form("a domain", "example.com", _matching(_DOMAIN)),
    "registry": Form("a registry or a network", "registry.example.com:5000", addresses.registry),
    "https": Form("an address that starts with https://", "https://id.example.com", _matching(re.compile(r"https://.+"))),
    "served": Form("a group and version", "batch/v2alpha1=true", _matching(re.compile(r".+"))),
    "token-lifetime": Form("a duration", _DURATION, _token_lifetime),
    "cache-size": Form("a resource and its size", "pods#100", _matching(re.compile(r"[^#]+#\+?[0-9]{1,9}"))),
    "etcd-override": Form(
        "a group and resource with its servers", "/events#https://10.0.0.11:2379;https://10.0.0.12:2379",
        _matching(re.compile(r"[^#/]*/[^#/]*#[^#]*")),
    ),
    "count": Form("a whole number from 1 on", "3", _matching(re.compile(r"\+?0*[1-9][0-9]{0,8}"))),
    "log-mode": Form("blocking or non-blocking", "", _among(("blocking", "non-blocking"))),
    "bytes": Form("a size", "64m", _matching(_BYTES)),
    "runtime": Form("a name with its program", "runc=/usr/bin/runc", _matching(re.compile(r"[^=]+=.+"))),
}  # fmt: skip

# Types whose values can be any text.
FREE = frozenset({
    "string", "stringSlice", "stringArray", "configurationMap", "list", "pool-options", "ProxyMode", "LocalMode",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a value: where inside it (the index of an item, as text), what, and what would be right."""

    at: tuple[str, ...]
    message: str
    suggestion: str = ""


def wrong(flag: Flag, value: ArgValue) -> Iterator[Wrong]:
    """Everything that keeps a program from taking the value; a value of None drops the flag and is right."""
    if isinstance(value, tuple):
        yield from _list(flag, value)
    elif isinstance(value, float) and flag.type in ("string", "stringSlice", "stringArray") and not flag.one_of:
        yield Wrong((), f"{value} was read as a number, which may differ from what you wrote", "write it in quotes")
    elif value is not None:
        text = as_text(value)
        for part in text.split(",") if flag.given == "split" and text else [text]:
            message = wrong_item(flag, part)
            if message is not None:
                yield Wrong((), *message)


def as_text(value: str | float | bool) -> str:  # noqa: FBT001 - a flag's value, not an option of ours
    """A scalar as it stands on a command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(flag: Flag, text: str) -> float | None:
    """What a flag's value means as a number, in seconds for a duration; None if it is no number."""
    form = FORMS.get(flag.type)
    try:
        meaning = form.read(text) if form else None
    except (ValueError, OverflowError):
        return None
    return meaning if isinstance(meaning, int | float) else None


def _list(flag: Flag, values: tuple[str | int | float | bool, ...]) -> Iterator[Wrong]:
    if not values:
        yield Wrong((), "an empty list has no meaning here", "null removes the flag")
    elif flag.given == "once":
        yield Wrong((), "takes one value, not a list", f"one value, such as {as_text(values[0])}")
    else:
        for index, value in enumerate(values):
            text = as_text(value)
            if flag.given == "split" and "," in text:
                yield Wrong(
                    (str(index),), f'"{text}" has a comma, where the program splits it', "two items of the list"
                )
            elif (message := wrong_item(flag, text)) is not None:
                yield Wrong((str(index),), *message)


def wrong_item(flag: Flag, text: str) -> tuple[str, str] | None:
    """What is wrong with one value, or with one item of several, and what would be right."""
    if flag.one_of:
        return None if text in flag.one_of or _also(flag, text) else _none_of(text, flag.one_of)
    form = FORMS.get(flag.type)
    if form is None or (not text and flag.given == "split"):
        return None
    try:
        meaning = form.read(text)
    except OverflowError as error:
        return f"{text} is out of range", f"{form.what} {error}"
    except ValueError:
        return f'"{text}" is not {form.what}', _right(form, text)
    if isinstance(meaning, int | float):
        return _limits(flag, meaning, text)
    return _pair(flag, text)


def _right(form: Form, text: str) -> str:
    if not text:
        return "null removes the flag"
    if form.read is _duration and _DECIMAL.fullmatch(text):
        return f"{text}s for seconds, {text}ms for milliseconds"
    if form.what == _BOOLEAN and text in ("yes", "on", "no", "off"):
        return "write true" if text in ("yes", "on") else "write false"
    return f"such as {form.example}" if form.example else ""


def _limits(flag: Flag, number: float, text: str) -> tuple[str, str] | None:
    unit = "s" if flag.type == "duration" else ""
    if flag.above is not None and number <= flag.above:
        return f"{text} is too small", f"more than {flag.above:g}{unit}"
    if flag.min is not None and number < flag.min:
        return f"{text} is too small", f"at least {flag.min:g}{unit}"
    if flag.max is not None and number > flag.max:
        return f"{text} is too large", f"at most {flag.max:.10g}{unit}"
    return None


def _pair(flag: Flag, text: str) -> tuple[str, str] | None:
    """What is wrong with one pair of a map whose keys or values are known."""
    key, sign, value = text.partition(flag.sign)
    if flag.keys and key not in flag.keys and not _also(flag, key):
        return _none_of(key, flag.keys)
    only = flag.keys.get(key, "")
    if only in ("true", "false") and value not in (TRUE if only == "true" else FALSE):
        return f"{key} cannot be {value} in this version", f"{key}={only}, or leave it out"
    kind = only if only in FORMS else flag.value
    if not (kind and sign):
        return None
    message = wrong_item(Flag(type=kind), value)
    return None if message is None else (f"{key}: {message[0]}", message[1])


def _also(flag: Flag, text: str) -> bool:
    return bool(flag.also) and re.fullmatch(flag.also, text) is not None


def _none_of(text: str, known: Mapping[str, str] | tuple[str, ...]) -> tuple[str, str]:
    words = [word for word in known if word]
    listed = f"one of {', '.join(words)}" if len(words) <= _MANY else ""
    return f'there is no "{text}" here', did_you_mean(text, words) or listed
