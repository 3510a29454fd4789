"""A capture through the meter into a CSV: read, feed, sort, write."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.lanes import Intake
from pipeline.offline import Coverage, OfflineMeter, Refused, Series
from rackmeter.capture import read_capture
from rackmeter.files import replacing
from rackmeter.usage_csv import HEAD, ranks, rows, totals
from rackmeter.usage_sort import RUN_CELLS, CellSort
from schemas.capture import Captured, encode_line

CHUNK_MESSAGES: Final = 5_000
CHUNK_BYTES: Final = 16 * 2**20
"""Of values; a chunk is closed by whichever comes first."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a capture came to."""

    counts: dict[str, int]
    totals: list[tuple[Series, int]]
    coverage: list[Coverage]


def meter_file(
    path: Path,
    intake: Intake,
    topic: str,
    ledger: Path | None,
    *,
    timestamps: int | None = None,
    dead: Path | None = None,
    progress: Progress = lambda _: None,
    chunk_messages: int = CHUNK_MESSAGES,
    run_cells: int = RUN_CELLS,
) -> Result:
    """Meter every message; ``ledger`` and ``dead`` get their names when all is written."""
    meter = OfflineMeter(intake, topic, timestamps)
    with ExitStack() as stack:
        out = stack.enter_context(replacing(ledger)) if ledger else None
        letters = stack.enter_context(replacing(dead)) if dead else None
        sort = stack.enter_context(CellSort(run_cells))
        for chunk in chunks(read_capture(path), chunk_messages):
            cells, refused = meter.take(chunk)
            for some in cells:
                sort.add(some)
            if letters:
                letters.write("".join(map(_line, refused)).encode())
            progress(len(chunk))
        for some in meter.finish():
            sort.add(some)
        ordered, rank = ranks(meter.series)
        sums = [0] * len(ordered)
        if out:
            out.write(HEAD.encode())
        for block in sort.in_order(rank):
            for series, total in totals(block):
                sums[series] += total
            if out:
                out.writelines(text.encode() for text in rows(block, ordered))
        # A full disk is heard of before either takes its name.
        for file in filter(None, (out, letters)):
            file.flush()
    used = [(series, total) for series, total in zip(ordered, sums, strict=True) if total]
    return Result(meter.counts(), used, meter.coverage())


def chunks(
    messages: Iterable[Captured], most: int, bytes_max: int = CHUNK_BYTES
) -> Iterator[list[Captured]]:
    """In order, each bounded in number and bytes."""
    chunk, size = list[Captured](), 0
    for message in messages:
        chunk.append(message)
        size += len(message.value or b"")
        if len(chunk) >= most or size >= bytes_max:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _line(refused: Refused) -> str:
    return encode_line(refused.message, reason=refused.reason.value, detail=refused.detail)
