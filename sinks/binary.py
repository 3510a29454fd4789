"""Rows for ``COPY … WITH (FORMAT binary)``, laid out by numpy: no Python per value, little per row.

Source: PostgreSQL documentation, COPY, "Binary Format"; array layout: ``array_send`` (dimensions,
null flag, element type, then length and bound of each dimension before the elements).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pipeline.heads import Block
from pipeline.records import Int64s
from pipeline.shelves import States

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_INT8_OID: Final = 20
_EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL counts timestamps from 2000-01-01."""
_NULL: Final = b"\xff\xff\xff\xff"
_ARRAY_HEAD: Final = 20
_ITEM: Final = np.dtype([("n", ">i4"), ("v", ">i8")])
Column = tuple[str, Any]
"""Type (``int4``, ``int8``, ``int8[]``, ``bytea``) and values: an array over the rows, or one for
all of them."""

WINDOW: Final = "server_id, window_start, set_id, qty, covered_ms, part, ckpt_offset"
STATE: Final = (
    "server_id, origin, flagged, absent, part, since_ms, seq_hi, seen, at_ms, up_ms, set_id, last,"
    " win_ms, open, cover_ms, ordinal, origins, hour, hour_origins, hour_series"
)


def window_rows(block: Block, set_ids: Int64s, part: int, offset: int) -> bytes:
    """The columns of ``WINDOW``; ``set_ids`` are those of the block's names."""
    fixed = _fixed(
        len(block.win_ms),
        ("int8", block.win_ms * 1000 - _EPOCH_US),
        ("int4", set_ids),
        ("int8[]", block.qty),
        ("int4", block.cover_ms),
        ("int4", part),
        ("int8", offset),
    )
    head = _count(WINDOW)
    return _joined([head + _text(server) for server in block.server], fixed)


def state_rows(states: States, set_ids: Int64s, absent: Sequence[bytes | None], part: int) -> bytes:
    """The columns of ``STATE``; ``absent`` as JSON."""
    fixed = _fixed(
        len(set_ids),
        ("int4", part),
        ("int8", states.since_ms),
        ("int8", states.seq_hi),
        ("bytea", states.seen.view(np.uint8)),
        ("int8", states.at_ms),
        ("int8", states.up_ms),
        ("int4", set_ids),
        ("int8[]", states.last),
        ("int8", states.win_ms),
        ("int8[]", states.open),
        ("int4", states.cover_ms),
        ("int4", states.order),
        ("int4", states.origins),
        ("int4", states.hour),
        ("int4", states.hour_origins),
        ("int4", states.hour_series),
    )
    head = _count(STATE)
    named = zip(states.server, states.origin, states.flagged, absent, strict=True)
    return _joined(
        [
            b"%b%b%b%b%b" % (head, _text(server), _text(origin), _text(flagged), _jsonb(json))
            for server, origin, flagged, json in named
        ],
        fixed,
    )


def int8_rows(sent: Sequence[bytes]) -> Int64s:
    """Arrays as ``array_send`` gives them, all of one length; shape ``(rows, length)``."""
    size = (len(sent[0]) - _ARRAY_HEAD) // _ITEM.itemsize if sent[0][3] else 0
    row = np.dtype([("head", f"V{len(sent[0]) - size * _ITEM.itemsize}"), ("item", _ITEM, (size,))])
    values: Int64s = np.frombuffer(b"".join(sent), row)["item"]["v"].astype(np.int64)
    return values


def _fixed(rows: int, *columns: Column) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Those columns of each row that are as long in every row, each with its length in front."""
    fields: list[Any] = []
    for i, (kind, values) in enumerate(columns):
        fields.append((f"n{i}", ">i4"))
        if kind == "int8[]":
            fields += [(f"array{i}", ">i4", (5,)), (f"v{i}", _ITEM, (values.shape[1],))]
        elif kind == "bytea":
            fields.append((f"v{i}", np.uint8, (values.shape[1],)))
        else:
            fields.append((f"v{i}", ">i4" if kind == "int4" else ">i8"))
    table = np.empty(rows, np.dtype(fields))
    for i, (kind, values) in enumerate(columns):
        value = table[f"v{i}"]
        if kind == "int8[]":
            size = values.shape[1]
            table[f"n{i}"] = _ARRAY_HEAD + _ITEM.itemsize * size
            table[f"array{i}"] = (1, 0, _INT8_OID, size, 1)
            value["n"], value["v"] = 8, values
        else:
            table[f"n{i}"] = value.itemsize if value.ndim == 1 else value.shape[1]
            table[f"v{i}"] = values
    return table


def _joined(heads: Sequence[bytes], fixed: np.ndarray[tuple[int], np.dtype[np.void]]) -> bytes:
    """Each row: what varies in length, then its fixed part."""
    body, width = memoryview(fixed.tobytes()), fixed.itemsize
    parts: list[bytes | memoryview] = []
    for i, head in enumerate(heads):
        parts += (head, body[i * width : (i + 1) * width])
    return b"".join(parts)


def _count(columns: str) -> bytes:
    """How many columns a row has, which comes first."""
    return (columns.count(",") + 1).to_bytes(2)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4) + encoded


def _jsonb(value: bytes | None) -> bytes:
    """Version 1 of the format, then text."""
    return _NULL if value is None else b"%b\1%b" % ((len(value) + 1).to_bytes(4), value)
