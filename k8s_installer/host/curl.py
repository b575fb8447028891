"""The one way in which hosts are asked over HTTP: by curl 7.29, on the host itself."""

from __future__ import annotations


def command(url: str, *options: str, ca: str = "", cert: str = "", key: str = "", seconds: int = 5) -> list[str]:
    """The words of a curl command that asks `url`; `ca`, `cert` and `key` are paths on the host.

    A proxy in the host's environment is for yum: what is asked here is the host's own, or a pod's.
    """
    words = ["curl", "-sS", "--noproxy", "*", "-m", str(seconds), *options]
    for option, path in (("--cacert", ca), ("--cert", cert), ("--key", key)):
        words += [option, path] if path else []
    return [*words, url]
