"""A small world for metering tests: reports in, windows out, and a meter that goes one by one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.admit import Rules
from pipeline.counters import take
from pipeline.heads import Chains, Output, Reading, names_of
from pipeline.meter import Arrival, Refused, meter
from pipeline.records import Batch, Names
from pipeline.shelves import Heads
from schemas.verdict import Verdict

RULES = Rules(gap_limit_ms=900_000)
_NAMES: dict[tuple[tuple[str, str], ...], Names] = {}


def names(*series: tuple[str, str]) -> Names:
    return _NAMES.setdefault(series, names_of(list(series)))


TX = names(("net.tx_bytes", "eth0"))


def reading(
    at_ms: int,
    value: Sequence[int],
    *,
    seq: int,
    origin: str = "o1",
    server: str = "s",
    since_ms: int = 0,
    up_ms: int | None = None,
    series: Names = TX,
    content: int = 0,
) -> Reading:
    return Reading(
        server=server,
        origin=origin,
        since_ms=since_ms,
        seq=seq,
        at_ms=at_ms,
        up_ms=at_ms - since_ms if up_ms is None else up_ms,
        names=series,
        value=np.array(value, np.int64),
        content=content or 1 + (hash((at_ms, tuple(value))) & 0x7FFF),
        offset=0,
    )


@dataclass
class World:
    """One partition's memory, fed report by report or in chunks."""

    heads: Heads = field(default_factory=Heads)
    out: Output = field(default_factory=lambda: Output(lambda _server, _origin: None))
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def former(self) -> dict[str, dict[str, Chains]]:
        """Server → origin → its former chains."""
        found: dict[str, dict[str, Chains]] = defaultdict(dict)
        for (server, origin), chains in self.out.tails.items():
            found[server][origin] = chains
        return found

    def one_by_one(self, readings: Iterable[Reading]) -> "World":
        for r in readings:
            judged = take(self.heads, r, self.out, RULES)
            self.verdicts.append(judged.verdict)
            self.out.counts[judged.verdict.value] += 1
        return self

    def chunk(self, readings: Sequence[Reading]) -> list[Refused]:
        batch, arrival = batch_of(readings)
        return meter(batch, arrival, self.heads, self.out, RULES)

    def windows(self) -> dict[tuple[str, int, str, str], int]:
        """(server, window, meter, resource) → quantity: finished, late and open, zeros left out."""
        sums: dict[tuple[str, int, str, str], int] = defaultdict(int)
        for block in self.out.finished:
            for server, win, names_, qty in zip(
                block.server, block.win_ms, block.names, block.qty, strict=True
            ):
                for (m, r), q in zip(names_.series, qty, strict=True):
                    sums[server, int(win), m, r] += int(q)
        for late in self.out.late:
            for (m, r), q in zip(late.names.series, late.qty, strict=True):
                sums[late.server, late.win_ms, m, r] += int(q)
        for head in self.heads.values():
            for (m, r), q in zip(head.chains.names.series, head.open, strict=True):
                sums[head.server, head.win_ms, m, r] += int(q)
        return {key: q for key, q in sums.items() if q}

    def cover(self) -> dict[tuple[str, int], int]:
        """(server, window) → observed milliseconds."""
        sums: dict[tuple[str, int], int] = defaultdict(int)
        for block in self.out.finished:
            seen = block.cover_ms > 0
            for server, win, ms in zip(
                block.server[seen], block.win_ms[seen], block.cover_ms[seen], strict=True
            ):
                sums[server, int(win)] += int(ms)
        for head in self.heads.values():
            sums[head.server, head.win_ms] += head.cover_ms
        return {key: ms for key, ms in sums.items() if ms}

    def finished_once(self) -> bool:
        keys = [
            (s, int(w)) for b in self.out.finished for s, w in zip(b.server, b.win_ms, strict=True)
        ]
        return len(keys) == len(set(keys))

    def readings(self) -> dict[tuple[str, str, str], int]:
        """(server, meter, resource) → sum of the last readings of its chains, zeros left out."""
        sums: dict[tuple[str, str, str], int] = defaultdict(int)
        former = self.former
        for server, head in self.heads.items():
            for chains in (head.chains, *former[server].values()):
                for (m, r), v in zip(chains.names.series, chains.last, strict=True):
                    sums[server, m, r] += int(v)
        return {key: v for key, v in sums.items() if v}

    def totals(self) -> dict[tuple[str, str, str], int]:
        sums: dict[tuple[str, str, str], int] = defaultdict(int)
        for (server, _, m, r), q in self.windows().items():
            sums[server, m, r] += q
        return dict(sums)


def batch_of(readings: Sequence[Reading]) -> tuple[Batch, Arrival]:
    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([getattr(r, name) for r in readings], np.int64)

    sizes = [len(r.value) for r in readings]
    batch = Batch(
        record=np.arange(len(readings)),
        append_ms=column("append_ms"),
        server=[r.server for r in readings],
        origin=[r.origin for r in readings],
        since_ms=column("since_ms"),
        seq=column("seq"),
        at_ms=column("at_ms"),
        at_up_ms=column("up_ms"),
        sent_up_ms=column("up_ms"),
        names=[r.names for r in readings],
        content=column("content"),
        value=np.concatenate([r.value for r in readings]),
        start=np.concatenate([[0], np.cumsum(sizes)]),
    )
    registered = {r.server: r.registered_ms for r in readings}
    return batch, Arrival(column("at_ms"), column("offset"), registered)


def on(server: str, readings: Iterable[Reading]) -> list[Reading]:
    return [replace(r, server=server) for r in readings]
