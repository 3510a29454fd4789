"""What a server used in each window, worked out a second time, from its archived reports alone.

Shares no code with the meter: whole columns of readings instead of heads that move. Pure.

    reading     when it was read: the server's clock, or the broker's where that is far away
    counted     the newest so far of its origin, by number; others changed nothing
    gain        of a series: its value less the one before in its origin, spread over the time since
    window      floor(gain × elapsed / whole) at its end, less the same at its beginning

What a report must be to be let in is not judged again: refused ones are dead letters, and left out
by the caller. An origin is known from an anchor on, a counted report that the ledger has kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

WIDTH_MS: Final = 300_000
SPREAD_MS_MAX: Final = 400 * 86_400_000
"""Both as docs/metering.md has them, sections 1 and 4."""
READING: Final = pl.Struct(
    {
        "origin": pl.String,
        "since_ms": pl.Int64,
        "seq": pl.Int64,
        "at_ms": pl.Int64,
        "at_up_ms": pl.Int64,
        "sent_up_ms": pl.Int64,
        "meter": pl.List(pl.String),
        "resource": pl.List(pl.String),
        "value": pl.List(pl.Int64),
    }
)
SERIES: Final = ("origin", "meter", "resource")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A counted report from which an origin is known; ``opening``: its first."""

    offset: int
    opening: bool


def readings(reports: pl.DataFrame, tolerance_ms: int) -> pl.DataFrame:
    """What the reports of one server say, in log order, and when each was read (``at_ms``).

    ``offset, appended_ms, by_broker, body``; every body is a report that was let in.
    """
    told = reports.with_columns(pl.col("body").cast(pl.String).str.json_decode(READING))
    waited = pl.max_horizontal(pl.col("sent_up_ms") - pl.col("at_up_ms"), 0)
    by_boot = pl.max_horizontal(pl.col("appended_ms") - waited, 0)
    far = (by_boot - pl.col("at_ms")).abs() > tolerance_ms
    ahead = pl.col("at_ms") > pl.col("appended_ms") + tolerance_ms
    at = (
        pl.when(pl.col("by_broker") & far)
        .then(by_boot)
        .when(~pl.col("by_broker") & ahead)
        .then("appended_ms")
        .otherwise("at_ms")
    )
    return told.unnest("body").with_columns(at_ms=at).sort("offset")


def recompute(
    read: pl.DataFrame,
    anchors: Mapping[str, Anchor],
    *,
    registered_ms: int,
    low_ms: int,
    high_ms: int,
) -> pl.DataFrame:
    """``meter, resource, start_ms, quantity`` of the windows begun in ``[low, high)``; no zeros.

    ``read`` are one server's ``readings``. Origins without an anchor are left out, and what was
    used until an anchor that is no opening.
    """
    counted = _counted(read, anchors)
    timed = _timed(counted, dict(_begins(counted, anchors, registered_ms)))
    return _windows(_gains(timed, anchors), low_ms, high_ms)


def _counted(rows: pl.DataFrame, anchors: Mapping[str, Anchor]) -> pl.DataFrame:
    """Of each origin from its anchor on, the reports whose number is above all before."""
    known = pl.DataFrame(
        {"origin": list(anchors), "from_offset": [one.offset for one in anchors.values()]},
        {"origin": pl.String, "from_offset": pl.Int64},
    )
    mine = rows.join(known, on="origin", maintain_order="left")
    newest = pl.col("seq").cum_max().shift().over("origin")
    return mine.filter(pl.col("offset") >= pl.col("from_offset")).filter(
        newest.is_null() | (pl.col("seq") > newest)
    )


def _begins(
    counted: pl.DataFrame, anchors: Mapping[str, Anchor], registered_ms: int
) -> Iterator[tuple[str, int]]:
    """Since when each origin's first gain is spread; one that takes over begins where the running
    one was last read.
    """
    seen: dict[str, int] = {}
    running, running_since = "", 0
    for origin, since, at in counted.select("origin", "since_ms", "at_ms").iter_rows():
        if origin in seen:
            seen[origin] = max(seen[origin], at)
            continue
        begin = at
        if anchors[origin].opening:
            begin = min(max(since, registered_ms, at - SPREAD_MS_MAX), at)
        over_before = bool(running) and since < running_since >= at
        if not over_before:
            if anchors[origin].opening:
                begin = max(begin, seen.get(running, begin))
            running, running_since = origin, since
        seen[origin] = max(begin, at)
        yield origin, begin


def _timed(counted: pl.DataFrame, begins: Mapping[str, int]) -> pl.DataFrame:
    """``seen_ms``: the latest time read in the origin; ``before_ms``: that before this report."""
    known = pl.DataFrame(
        {"origin": list(begins), "begin_ms": list(begins.values())},
        {"origin": pl.String, "begin_ms": pl.Int64},
    )
    latest = pl.max_horizontal(pl.col("at_ms").cum_max().over("origin"), "begin_ms")
    joined = counted.join(known, on="origin", maintain_order="left").with_columns(seen_ms=latest)
    before = pl.col("seen_ms").shift().over("origin").fill_null(pl.col("begin_ms"))
    return joined.with_columns(before_ms=before)


def _gains(timed: pl.DataFrame, anchors: Mapping[str, Anchor]) -> pl.DataFrame:
    """``gain`` of each series of each report over ``(from_ms, at_ms]``; zeros left out."""
    told = timed.explode("meter", "resource", "value")
    gain = pl.col("value") - pl.col("value").shift(fill_value=0).over(SERIES)
    own = pl.col("seen_ms").shift().over(SERIES).fill_null(pl.col("before_ms"))
    since = pl.max_horizontal(own, pl.col("at_ms") - SPREAD_MS_MAX)
    unknown = [one.offset for one in anchors.values() if not one.opening]
    return (
        told.with_columns(gain=gain, from_ms=since)
        .filter((pl.col("gain") != 0) & ~pl.col("offset").is_in(unknown))
        .select("meter", "resource", "gain", "from_ms", "at_ms")
    )


def _windows(gains: pl.DataFrame, low_ms: int, high_ms: int) -> pl.DataFrame:
    """Each gain divided over the windows it touches, and summed; 128 bits hold every product."""
    whole = pl.col("at_ms") - pl.col("from_ms")
    last = (pl.col("at_ms") - 1) // WIDTH_MS
    first = pl.when(whole > 0).then(pl.col("from_ms") // WIDTH_MS).otherwise(last)
    inside = gains.with_columns(
        whole=whole,
        first=pl.max_horizontal(first, low_ms // WIDTH_MS),
        last=pl.min_horizontal(last, high_ms // WIDTH_MS - 1),
    ).filter(pl.col("first") <= pl.col("last"))
    parts = inside.with_columns(
        start_ms=pl.int_ranges("first", pl.col("last") + 1) * WIDTH_MS
    ).explode("start_ms")
    until = pl.min_horizontal(pl.col("start_ms") + WIDTH_MS, "at_ms")
    quantity = (
        pl.when(pl.col("whole") > 0)
        .then(_used_by(until) - _used_by(pl.max_horizontal("start_ms", "from_ms")))
        .otherwise(pl.col("gain").cast(pl.Int128))
    )
    return (
        parts.group_by("meter", "resource", "start_ms")
        .agg(quantity=quantity.sum())
        .filter(pl.col("quantity") != 0)
        .sort("meter", "resource", "start_ms")
    )


def _used_by(instant: pl.Expr) -> pl.Expr:
    """How much of the gain was used by then; a whole that is not positive is not asked for."""
    elapsed = (instant - pl.col("from_ms")).cast(pl.Int128)
    whole = pl.max_horizontal("whole", 1).cast(pl.Int128)
    return pl.col("gain").cast(pl.Int128) * elapsed // whole
