"""What agents say that their spools lost, in windows on their way to the ledger. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from pipeline.heads import Block

METERS: Final = ("agent.spool_dropped_reports", "agent.spool_lost_bytes")


def lost(blocks: Iterable[Block]) -> Counter[str]:
    """By meter. Late windows are left out: they are few, and a person is told, nobody billed."""
    found: Counter[str] = Counter()
    for block in blocks:
        for names in {id(one): one for one in block.names}.values():
            columns = {at: one for at, one in enumerate(names.meter) if one in METERS}
            if columns:
                rows = block.names == names
                for at, meter in columns.items():
                    found[meter] += int(block.qty[rows, at].sum())
    return found
