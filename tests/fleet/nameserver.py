"""A name server that knows one name: what is outside a cluster, for the tests; `nameserver.py ADDRESS NAME ANSWER`."""

from __future__ import annotations

import socket
import struct
import sys

_NO_SUCH_NAME, _A, _HEADER = 3, 1, 12


def answer(query: bytes, name: str, address: str) -> bytes:
    """The answer to one query: the address of `name`, and that there is no other name."""
    labels, at = [], _HEADER
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[_HEADER : at + 5]
    known = ".".join(labels).lower() == name
    found = known and struct.unpack("!H", question[-4:-2])[0] == _A
    head = query[:2] + struct.pack("!5H", 0x8580 | (0 if known else _NO_SUCH_NAME), 1, int(found), 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, _A, 1, 60, 4) + socket.inet_aton(address)
    return head + question + (record if found else b"")


def main(listen: str, name: str, address: str) -> None:
    """Answer until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((listen, 53))
        while True:
            query, sender = server.recvfrom(4096)
            server.sendto(answer(query, name, address), sender)


if __name__ == "__main__":
    main(*sys.argv[1:])
