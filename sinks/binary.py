"""Rows for ``COPY … WITH (FORMAT binary)``, laid out by numpy: no Python per value, little per row.

Source: PostgreSQL documentation, COPY, "Binary Format"; array layout: ``array_send`` (dimensions,
null flag, element type, then length and bound of each dimension before the elements).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.heads import Block

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_INT8_OID: Final = 20
_EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL counts timestamps from 2000-01-01."""


def window_rows(block: Block, set_id: int, part: int, offset: int) -> bytes:
    """``server_id, window_start, set_id, qty, covered_ms, part, ckpt_offset`` of each row."""
    rows, size = block.qty.shape
    fixed = np.zeros(rows, _window_dtype(size))
    for name, length in (
        ("n1", 8),
        ("n2", 4),
        ("n3", 20 + 12 * size),
        ("n4", 4),
        ("n5", 4),
        ("n6", 8),
    ):
        fixed[name] = length
    fixed["start"] = block.win_ms * 1000 - _EPOCH_US
    fixed["set"] = set_id
    fixed["dims"], fixed["oid"], fixed["size"], fixed["bound"] = 1, _INT8_OID, size, 1
    fixed["item"]["n"] = 8
    fixed["item"]["v"] = block.qty
    fixed["cover"], fixed["part"], fixed["offset"] = block.cover_ms, part, offset
    return _joined(7, block.server, fixed.tobytes(), fixed.itemsize)


def _window_dtype(size: int) -> np.dtype[np.void]:
    item = np.dtype([("n", ">i4"), ("v", ">i8")])
    return np.dtype(
        [
            ("n1", ">i4"), ("start", ">i8"), ("n2", ">i4"), ("set", ">i4"),
            ("n3", ">i4"), ("dims", ">i4"), ("nulls", ">i4"), ("oid", ">i4"), ("size", ">i4"),
            ("bound", ">i4"), ("item", item, (size,)),
            ("n4", ">i4"), ("cover", ">i4"), ("n5", ">i4"), ("part", ">i4"),
            ("n6", ">i4"), ("offset", ">i8"),
        ]
    )  # fmt: skip


def _joined(columns: int, servers: Sequence[str], fixed: bytes, width: int) -> bytes:
    """Each row: the number of columns, the server, then its fixed part."""
    prefixes: dict[str, bytes] = {}
    for server in servers:
        if server not in prefixes:
            name = server.encode()
            prefixes[server] = columns.to_bytes(2) + len(name).to_bytes(4) + name
    parts: list[bytes] = []
    for i, server in enumerate(servers):
        parts += (prefixes[server], fixed[i * width : (i + 1) * width])
    return b"".join(parts)
