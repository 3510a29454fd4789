"""When each report of a chunk was read. Pure.

Time is an argument: ``now_ms`` bounds what a producer's own time stamp may claim.
"""

import numpy as np

from pipeline.records import LOG_APPEND_TIME, Batch, Bools, Chunk, Int64s, Record


def appended_ms(record: Record, now_ms: int) -> int:
    """When a record was appended. A producer's own stamp is no proof of a time still to come."""
    by_broker = record.timestamp_type == LOG_APPEND_TIME
    return record.timestamp if by_broker else min(record.timestamp, now_ms)


def dated(
    chunk: Chunk, batch: Batch, tolerance_ms: int, now_ms: int
) -> tuple[Int64s, frozenset[int]]:
    """Reading times of a batch, and the rows where the agent's wall clock was overruled."""
    records = [chunk.records[i] for i in batch.record]
    by_broker = np.array([r.timestamp_type == LOG_APPEND_TIME for r in records])
    at, corrected = reading_times(batch, by_broker, tolerance_ms, now_ms)
    return at, frozenset(np.flatnonzero(corrected).tolist())


def reading_times(
    batch: Batch,
    by_broker: Bools,
    tolerance_ms: int,
    now_ms: int,
) -> tuple[Int64s, Bools]:
    """When each report was read, and where the agent's wall clock was overruled.

    With the broker's append time the reading happened ``sent_up − at_up`` before it. Without, the
    clock is unverified; only a reading later than its own message, or than now, cannot be and is
    dated by that. No report is read after it was sent, whatever its boot clock says.
    """
    waited = np.maximum(batch.sent_up_ms - batch.at_up_ms, 0)
    by_boot_clock = np.maximum(batch.append_ms - waited, 0)
    wrong = by_broker & (np.abs(by_boot_clock - batch.at_ms) > tolerance_ms)
    sent = np.minimum(batch.append_ms, now_ms)
    future = ~by_broker & (batch.at_ms > sent + tolerance_ms)
    at = np.where(wrong, by_boot_clock, np.where(future, sent, batch.at_ms))
    return at, wrong | future
