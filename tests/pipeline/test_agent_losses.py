"""What agents lost, summed over finished windows."""

import numpy as np

from pipeline.agent_losses import METERS, lost
from pipeline.heads import Block
from pipeline.records import Names

DROPPED, BYTES = METERS
BOTH = Names.of(("cpu.busy_ms", BYTES, DROPPED), ("", "", ""))
OTHER = Names.of((DROPPED, "cpu.busy_ms", "net.rx_bytes"), ("", "", "eth0"))
NEITHER = Names.of(("cpu.busy_ms", "net.rx_bytes", "net.tx_bytes"), ("", "eth0", "eth0"))


def block(names: list[Names], *rows: list[int]) -> Block:
    """All rows have as many series; what they are called is each row's own."""
    objects = np.empty(len(names), object)
    objects[:] = names
    servers = np.array([f"s{at}" for at in range(len(names))], object)
    zeros = np.zeros(len(names), np.int64)
    return Block(servers, zeros, objects, np.array(rows, np.int64), zeros)


def test_losses_are_summed_by_meter_whatever_stands_beside_them() -> None:
    mixed = block([BOTH, OTHER, NEITHER, BOTH], [1, 20, 3], [400, 5, 6], [7, 8, 9], [10, 2000, 30])
    again = block([OTHER], [50_000, 1, 1])
    assert lost([mixed, again]) == {BYTES: 2020, DROPPED: 3 + 400 + 30 + 50_000}


def test_where_nothing_was_lost_nothing_is_said() -> None:
    assert lost([]) == lost([block([NEITHER], [1, 2, 3])]) == {}
