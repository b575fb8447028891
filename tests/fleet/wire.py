"""Hears what leaves a lab by its one way out, the link to this machine, for anywhere but this machine's own address."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

_ALL_PROTOCOLS, _IPV4, _IPV6, _ARP = 0x0003, 0x0800, 0x86DD, 0x0806
_ATTACH_FILTER = 26
_OUTGOING, _PACKET_TYPE = 4, 0xFFFFF000 + 4
_LOAD_WORD, _LOAD_HALF, _IF_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_MULTICAST, _LINK_LOCAL = 0xFF02, 0xFE80


def _filter(address: str) -> list[tuple[int, int, int, int]]:
    """A program of the kernel's packet filter: what is ours, ARP and what stays on a link are dropped, the rest is kept."""
    return [
        (_LOAD_WORD, 0, 0, _PACKET_TYPE),
        (_IF_EQUAL, 9, 0, _OUTGOING),  # from here to the hosts
        (_LOAD_HALF, 0, 0, 12),
        (_IF_EQUAL, 7, 0, _ARP),
        (_IF_EQUAL, 0, 2, _IPV4),
        (_LOAD_WORD, 0, 0, 30),
        (_IF_EQUAL, 4, 5, int(IPv4Address(address))),
        (_IF_EQUAL, 0, 4, _IPV6),
        (_LOAD_HALF, 0, 0, 38),
        (_IF_EQUAL, 1, 0, _MULTICAST),
        (_IF_EQUAL, 0, 1, _LINK_LOCAL),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, 128),
    ]


@contextmanager
def heard(link: str, address: str) -> Iterator[list[bytes]]:
    """The beginnings of packets that came over `link` and are not for `address`, as they come."""
    packets: list[bytes] = []
    program = b"".join(struct.pack("HBBI", *step) for step in _filter(address))
    text = ctypes.create_string_buffer(program)
    stop = threading.Event()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as wire:
        wire.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(program) // 8, ctypes.addressof(text)))
        wire.bind((link, _ALL_PROTOCOLS))

        def listen() -> None:
            while not stop.is_set():
                if select.select([wire], [], [], 0.1)[0]:
                    packets.append(wire.recv(128))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield packets
        finally:
            stop.set()
            thread.join()
