"""A day of some servers, metered again from the archive and compared with the ledger's windows.

Reads only, the ledger in one snapshot. What cannot be judged is said with its reason, never passed
over: rows that rest on reports which are not archived, an origin from before what is followed, a
series that was away and came back. Dead letters are the ledger's own: what was refused stays out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import polars as pl

from invoicing.nightly.base import Found, Night, snapshot
from invoicing.nightly.recompute import Anchor, readings, recompute
from invoicing.reconcile import Difference
from pipeline.retries import retry_of
from schemas.errors import DifferenceError
from sinks import archive, archive_file
from sinks.archive import Span
from sinks.positions import TOPIC_BITS

AGAIN: Final = "ledger = metered again"
LOOK_BACK: Final = timedelta(days=2)
"""Origins with an anchor since then are followed; a running origin has one a day."""
_QUERIES: Final = files("invoicing") / "queries"
STANDING: Final = (_QUERIES / "nightly_standing.sql").read_text()
ANCHORS: Final = (_QUERIES / "nightly_anchors.sql").read_text()
WINDOWS: Final = (_QUERIES / "nightly_windows.sql").read_text()
_REPORTING: Final = """
    SELECT DISTINCT server_id FROM server_state
    WHERE at_ms >= extract(epoch FROM %(low)s::timestamptz) * 1000 ORDER BY 1
"""
_LETTERS: Final = """
    SELECT "offset", append_ms, by_broker, retried_ms IS NOT NULL FROM dead_letter
    WHERE topic_id = %(topic)s AND part = %(part)s AND key = %(key)s
"""
Windows = dict[tuple[str, str, int], int]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a server's reports lie. ``metered``, ``archived``: the first offsets that are not;
    ``newest``: its rows of the day rest on reports before that.
    """

    server: str
    topic_id: UUID
    part: int
    metered: int
    archived: int
    newest: int
    registered_ms: int

    @property
    def until(self) -> int:
        return min(self.metered, self.archived)


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a server: anchors by origin, series that had gone before them,
    refused offsets, letters that were let in later, and the windows of the day.
    """

    standing: Standing
    anchors: Mapping[str, Anchor]
    gone: frozenset[tuple[str, str, str]]
    refused: frozenset[int]
    released: Mapping[int, tuple[int, bool]]
    windows: Windows

    @property
    def begin(self) -> int:
        return min(anchor.offset for anchor in self.anchors.values())


class NotJudgedError(Exception):
    """Nothing is known to be wrong with the server; says why it cannot be told."""


def metered_again(night: Night) -> Found:
    """Some servers of the day, window by window."""
    with snapshot(night.conn):
        reporting = [server for (server,) in _ask(night, _REPORTING)]
        servers = night.drawn(reporting, night.sample)
        rows = _ask(night, STANDING, servers=servers, bits=TOPIC_BITS)
        known = [_known(night, Standing(*row)) for row in rows]
        spans = archive.spans(night.conn)
    compared, differences, notes = 0, list[Difference](), list[str]()
    for one, reports in _with_reports(night.archive, spans, known):
        server = one.standing.server
        try:
            found = _again(night, one, spans, reports)
        except NotJudgedError as error:
            notes.append(f"{server}: {error}")
            continue
        compared += len(one.windows.keys() | found.keys())
        differences += _different(server, one.windows, found)
    if not known:
        notes.append("nothing of the day is archived")
    return Found(compared, tuple(differences), tuple(notes))


def _ask(night: Night, query: str, **values: object) -> list[tuple[Any, ...]]:
    return night.conn.execute(query, {"low": night.low, "high": night.high, **values}).fetchall()


def _known(night: Night, one: Standing) -> Known:
    anchors, gone = _anchors(night, one)
    letters = _ask(
        night, _LETTERS, topic=one.topic_id, part=one.part, key=one.server.encode()
    )  # fmt: skip
    windows = {
        (meter, resource, start_ms): int(quantity)
        for meter, resource, start_ms, quantity in _ask(night, WINDOWS, server=one.server)
    }
    return Known(
        one, anchors, gone, frozenset(offset for offset, *_ in letters),
        {offset: (append_ms, by_broker) for offset, append_ms, by_broker, let in letters if let},
        windows,
    )  # fmt: skip


def _anchors(
    night: Night, one: Standing
) -> tuple[dict[str, Anchor], frozenset[tuple[str, str, str]]]:
    """Of each origin the last one before the day, else its opening; none of others."""
    anchors, gone = dict[str, Anchor](), dict[str, list[str]]()
    since = night.low - LOOK_BACK
    rows = _ask(night, ANCHORS, server=one.server, topic=one.topic_id, since=since)
    for origin, opening, offset, before, series in rows:
        if before or (opening and origin not in anchors):
            anchors[origin], gone[origin] = Anchor(offset, opening), series
    split = ((origin, *each.split("\n", 1)) for origin, some in gone.items() for each in some)
    return anchors, frozenset((origin, meter, resource) for origin, meter, resource in split)


def _with_reports(
    folder: Path, spans: Sequence[Span], known: Sequence[Known]
) -> list[tuple[Known, pl.DataFrame]]:
    """The archived messages of each server, the files of a partition read once for all."""
    by_part: dict[int, list[Known]] = defaultdict(list)
    for one in known:
        by_part[one.standing.part].append(one)
    found = []
    for some in by_part.values():
        wanted = {span for one in some for span in _wanted(spans, one) if span.kept}
        names = [one.standing.server for one in some]
        rows = archive_file.of_servers(folder, [_checked(folder, span) for span in wanted], names)
        keys = [one.standing.server.encode() for one in some]
        found += [
            (one, rows.filter(pl.col("key") == key)) for one, key in zip(some, keys, strict=True)
        ]
    return found


def _checked(folder: Path, span: Span) -> str:
    """The file's name; nobody is judged by a file that is not as it was written."""
    if said := archive_file.damage(folder, span):
        raise DifferenceError(f"{span.file}: {said}")
    assert span.file is not None
    return span.file


def _wanted(spans: Sequence[Span], one: Known) -> list[Span]:
    if not one.anchors:
        return []
    at = one.standing
    return [
        span for span in spans
        if (span.topic_id, span.part) == (at.topic_id, at.part)
        and span.next_offset > one.begin and span.first_offset < at.until
    ]  # fmt: skip


def _again(night: Night, one: Known, spans: Sequence[Span], rows: pl.DataFrame) -> Windows:
    """The windows of the day as the archive has them."""
    _check_archive(one, _wanted(spans, one))
    at = one.standing
    mine = rows.filter(
        (pl.col("offset") >= one.begin) & (pl.col("offset") < at.until)
        & ~pl.col("offset").is_in(one.refused)
    )  # fmt: skip
    read = readings(_dated(mine, one.released), night.tolerance_ms)
    if strangers := set(read["origin"]) - one.anchors.keys():
        raise NotJudgedError(f"origin {min(strangers)} began before what is followed")
    series = read.explode("meter", "resource").select("origin", "meter", "resource").unique()
    if back := one.gone & set(series.iter_rows()):
        raise NotJudgedError(f"{' '.join(min(back)[1:]).strip()} was away and came back")
    low_ms, high_ms = (int(edge.timestamp() * 1000) for edge in (night.low, night.high))
    found = recompute(
        read, one.anchors, registered_ms=at.registered_ms, low_ms=low_ms, high_ms=high_ms
    )
    return {(meter, resource, start): int(q) for meter, resource, start, q in found.iter_rows()}


def _check_archive(one: Known, wanted: Sequence[Span]) -> None:
    """Everything that its rows of the day rest on is in files that are kept."""
    if not one.anchors:
        raise NotJudgedError("none of its readings were kept")
    if one.standing.newest > one.standing.until:
        raise NotJudgedError("its rows rest on reports that are not archived yet")
    gapless = all(left.next_offset == right.first_offset for left, right in pairwise(wanted))
    begun = wanted and wanted[0].first_offset <= one.begin
    if not (begun and gapless and all(span.kept for span in wanted)):
        raise NotJudgedError(f"its reports from offset {one.begin:,} on are not all archived")


def _dated(rows: pl.DataFrame, released: Mapping[int, tuple[int, bool]]) -> pl.DataFrame:
    """With the time stamps that count: of a letter that was let in, those of the letter."""
    told = rows.select(
        "offset", "by_broker", "body", "headers", appended_ms=pl.col("appended_at").to_physical()
    )
    stamps = {}
    for offset, headers in told.select("offset", "headers").iter_rows() if released else ():
        place = retry_of([(one["name"], one["value"]) for one in headers])
        if place is not None and place[1] in released:
            stamps[offset] = released[place[1]]
    if not stamps:
        return told
    first = pl.DataFrame(
        [(offset, *stamp) for offset, stamp in stamps.items()],
        {"offset": pl.Int64, "appended_ms": pl.Int64, "by_broker": pl.Boolean},
        orient="row",
    )
    return told.update(first, on="offset")


def _different(server: str, stated: Windows, found: Windows) -> list[Difference]:
    return [
        Difference(
            AGAIN, f"{server} {meter} {resource} {start}", str(stated.get(key, 0)),
            str(found.get(key, 0)),
        )
        for key in sorted(stated.keys() | found.keys())
        if stated.get(key, 0) != found.get(key, 0)
        for meter, resource, start in [key]
    ]  # fmt: skip
