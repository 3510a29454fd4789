"""A file of the archive: messages of one partition as Parquet, whole or not there.

    partition, offset     where the message lay; ``next_offset``: where reading goes on after it
    appended_at           its time stamp, UTC; ``by_broker``: whether it is the broker's own
    key, headers, body    as they were, byte for byte; headers are a list of {name, value}
    unread                why it could not be read, where ``body`` is what was left of it

Rows lie in order of key, then offset: what one server said lies together, and a reader of some
servers skips the others. A file is called by its first offset, so whoever writes it again, after a
crash, replaces it. Knows no database.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import polars as pl

from pipeline.records import LOG_APPEND_TIME, Record, Unread, after
from schemas.capture import Captured, Place
from schemas.errors import DependencyError
from sinks.archive import Span
from sinks.disk import sync

SCHEMA: Final = pl.Schema(
    {
        "partition": pl.Int32(),
        "offset": pl.Int64(),
        "next_offset": pl.Int64(),
        "appended_at": pl.Datetime("ms", "UTC"),
        "by_broker": pl.Boolean(),
        "key": pl.Binary(),
        "headers": pl.List(pl.Struct({"name": pl.String(), "value": pl.Binary()})),
        "body": pl.Binary(),
        "unread": pl.String(),
    }
)
LEVEL: Final = 3
"""Of zstd: level 9 takes twice as long and saves a fiftieth (decision 0027)."""
ROW_GROUP: Final = 4_096
"""Messages that a reader of one server takes or skips together."""
_PLACES: Final = ["partition", "offset", "next_offset", "appended_at"]
_PART: Final = ".part"
_READ_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is on the disk under its name."""

    name: str
    bytes: int
    sha256: str


def name_of(topic: str, topic_id: UUID, part: int, first_offset: int) -> str:
    """Below the folder of the archive; a topic that is made again has another id."""
    return f"{topic}.{topic_id.hex[:8]}/{part}/{first_offset:020}.parquet"


def table(part: int, records: Sequence[Record]) -> pl.DataFrame:
    """The rows of a file, from records in log order."""
    values = [record.value for record in records]
    rows = pl.DataFrame(
        {
            "partition": [part] * len(records),
            "offset": [record.offset for record in records],
            "next_offset": [after(record) for record in records],
            "appended_at": [record.timestamp for record in records],
            "by_broker": [record.timestamp_type == LOG_APPEND_TIME for record in records],
            "key": [record.key for record in records],
            "body": [None if value is None else bytes(value) for value in values],
            "unread": [_why(value) for value in values],
        },
        schema={name: kind for name, kind in SCHEMA.items() if name != "headers"},
    )
    return rows.with_columns(_headers(records)).select(SCHEMA.names()).sort("key", "offset")


def _why(value: bytes | None) -> str | None:
    return f"{value.reason.value}: {value.detail}" if isinstance(value, Unread) else None


def _headers(records: Sequence[Record]) -> pl.Series:
    """One list a record; built from flat columns, ten times as fast as from lists of pairs."""
    flat = [
        (row, name, value) for row, record in enumerate(records) for name, value in record.headers
    ]
    named = pl.DataFrame(
        flat, {"row": pl.UInt32, "name": pl.String, "value": pl.Binary}, orient="row"
    )
    listed = named.group_by("row").agg(pl.struct("name", "value").alias("headers"))
    every = pl.DataFrame({"row": pl.Series(range(len(records)), dtype=pl.UInt32)})
    found = every.join(listed, on="row", how="left", maintain_order="left")["headers"]
    return found.cast(SCHEMA["headers"]).fill_null(pl.Series([[]], dtype=SCHEMA["headers"]))


def write(folder: Path, name: str, rows: pl.DataFrame) -> Written:
    """Write the rows beside the name, to the disk, then name it. May be killed anywhere."""
    path = folder / name
    part = path.with_suffix(_PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        rows.write_parquet(
            part, compression="zstd", compression_level=LEVEL, row_group_size=ROW_GROUP
        )
        sync(part)
        found = Written(name, part.stat().st_size, digest(part))
        part.replace(path)
        for changed in (path.parent, path.parent.parent, folder):
            sync(changed)
    except OSError as error:
        raise DependencyError(
            f"{path} cannot be written: {error.strerror or error}; nothing is lost, run it again."
        ) from error
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    made = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            made.update(piece)
    return made.hexdigest()


def remove(folder: Path, names: Iterable[str]) -> int:
    """Remove these files where they are; how many were."""
    count = 0
    for name in names:
        path = folder / name
        count += path.exists()
        path.unlink(missing_ok=True)
    return count


def describe(topic_id: UUID, first: int, rows: pl.DataFrame, file: Written) -> Span:
    """The span that a file's rows are; it begins at ``first``, where the one before ended."""
    order = rows.sort("offset")
    end = int(order["next_offset"][-1])
    held = int((order["next_offset"] - order["offset"]).sum())
    stamps = order["appended_at"].to_physical()
    return Span(
        topic_id, order["partition"][0], first, end, len(rows), end - first - held,
        int(stamps.min()), int(stamps.max()), file.name, file.bytes, file.sha256,  # type: ignore[arg-type]
    )  # fmt: skip


def adopted(folder: Path, name: str, topic_id: UUID, part: int, first_offset: int) -> Span | None:
    """The span of a whole file that the ledger does not know: a crash, or a restored ledger.

    None where there is none, or one that is not what its name says: it is written again then.
    """
    path = folder / name
    path.with_suffix(_PART).unlink(missing_ok=True)
    try:
        rows = pl.read_parquet(path, columns=_PLACES)
    except (OSError, pl.exceptions.PolarsError):
        return None
    if rows.is_empty() or _broken(rows, part, first_offset):
        return None
    return describe(topic_id, first_offset, rows, Written(name, path.stat().st_size, digest(path)))


def damage(folder: Path, span: Span) -> str | None:
    """Why a span's file is not the bytes that were written; None: it is."""
    assert span.file is not None
    path = folder / span.file
    if not path.is_file():
        return "the file is gone"
    if (size := path.stat().st_size) != span.bytes:
        return f"it has {size:,} bytes, not {span.bytes:,}"
    if digest(path) != span.sha256:
        return "its bytes are not those that were written"
    return None


def problem(folder: Path, span: Span) -> str | None:
    """What is wrong with a span's file, its bytes and its messages; None: nothing."""
    if said := damage(folder, span):
        return said
    assert span.file is not None
    rows = pl.read_parquet(folder / span.file, columns=_PLACES)
    written = Written(span.file, span.bytes, span.sha256)
    found = describe(span.topic_id, span.first_offset, rows, written)
    if _broken(rows, span.part, span.first_offset) or _figures(found) != _figures(span):
        return "it holds other messages than the ledger says"
    return None


def _figures(span: Span) -> tuple[int, ...]:
    return (
        span.part, span.first_offset, span.next_offset, span.records, span.holes,
        span.first_ms, span.last_ms,
    )  # fmt: skip


def _broken(rows: pl.DataFrame, part: int, first_offset: int) -> bool:
    """Messages of another partition, from before the first offset, or that overlap."""
    order = rows.sort("offset")
    ends = order["next_offset"].shift(fill_value=first_offset)
    return bool((ends > order["offset"]).any()) or bool((rows["partition"] != part).any())


def of_servers(folder: Path, files: Sequence[str], servers: Sequence[str]) -> pl.DataFrame:
    """Every message with one of these keys in these files, in no order."""
    keys = pl.Series([server.encode() for server in servers], dtype=pl.Binary)
    found = [
        pl.scan_parquet(folder / name, schema=SCHEMA).filter(pl.col("key").is_in(keys.implode()))
        for name in files
    ]
    return pl.concat(found).collect() if found else pl.DataFrame(schema=SCHEMA)


def captured(
    folder: Path,
    spans: Iterable[Span],
    partitions: Mapping[UUID, int],
    servers: Collection[str],
    since_ms: int,
) -> Iterator[Captured]:
    """Messages of these files in log order, partition by partition; of these servers where given.

    ``partitions``: how many each topic has. What could not be read is left out.
    """
    keys = {server.encode() for server in servers}
    for span in spans:
        assert span.file is not None
        many = partitions[span.topic_id]
        rows = pl.read_parquet(folder / span.file).filter(pl.col("unread").is_null())
        stamped = rows.with_columns(ts_ms=pl.col("appended_at").to_physical()).sort("offset")
        for row in stamped.iter_rows(named=True):
            if row["ts_ms"] >= since_ms and (not keys or row["key"] in keys):
                headers = tuple((one["name"], one["value"]) for one in row["headers"])
                place = Place(row["partition"], many, row["offset"])
                by_broker = int(row["by_broker"])
                yield Captured(row["key"], row["ts_ms"], headers, row["body"], by_broker, place)
