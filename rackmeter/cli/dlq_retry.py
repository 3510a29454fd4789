"""`rackmeter dlq retry`: refused reports once more, where the reason may be gone.

1. Each letter is metered in memory on what the ledger holds: that is what would become of it. A
   crash here: nothing has happened.
2. Those that would be taken are marked as released. A crash here: a retry that was never sent;
   `--again` sends it.
3. They are sent to their topic with a header that names their letter. Sent twice they are
   duplicates.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rackmeter.cli.dlq_words import NEVER
from rackmeter.cli.options import confirm
from rackmeter.cli.output import document, note, table
from rackmeter.errors import ConfigError, RefusedError
from schemas.verdict import RETRYABLE, Verdict

if TYPE_CHECKING:
    from rackmeter.settings import Settings
    from schemas.capture import Captured
    from sinks.database import Connection
    from sinks.letters import Kept, Wanted
    from sinks.retries import Outcome

HELP: Final = """\
Send refused reports again, where the reason may be gone.

What would become of each is worked out first, on what the ledger holds; --dry-run stops there. Sent
are those that would be taken now: a report whose key was registered later, whose version the
workers understand since their upgrade, whose hour is over. They are dated by when they were first
appended, whoever dates the topic. A report that is `late` is not sent: a newer one of its server
has brought its usage already.
"""
Row = tuple["Kept", str, str]
"""A letter, its outcome, one sentence."""
_SKIPPED: Final = "skipped"


def run(
    wanted: "Wanted",
    limit: int,
    *,
    again: bool,
    dry_run: bool,
    yes: bool,
    data_dir: Path | None,
    json: bool,
) -> None:
    """One command."""
    from rackmeter.cli.ledger import database  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.database import connect, require_schema  # noqa: PLC0415
    from sinks.letters import whole  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    with database(settings) as url, connect(url) as conn:
        require_schema(conn)
        letters = whole(conn, wanted, limit)
        conn.rollback()
        if not letters:
            raise RefusedError("No report was refused there: `rackmeter dlq list` has them.")
        refusals = [refusal(letter, again=again) for letter in letters]
        if wanted.place is not None and refusals[0] is not None:
            raise RefusedError(f"{letters[0].place} is not retried: {refusals[0]}.")
        open_ = [one for one, no in zip(letters, refusals, strict=True) if no is None]
        outcomes = list(_outcomes(conn, settings, open_))
        rows = [(one, _SKIPPED, no) for one, no in zip(letters, refusals, strict=True) if no]
        rows += [(one.letter, one.verdict.value, one.detail) for one in outcomes]
        if not json:
            _tell(rows)
        good = [one.letter for one in outcomes if one.verdict is Verdict.ACCEPTED]
        if good and not dry_run:
            confirm(f"Send {len(good)} of {len(letters)} reports again?", yes=yes)
            _send(conn, settings, good)
            note(f"{len(good)} sent; the ledger has them within seconds, if a worker runs")
        if json:
            _document(rows, 0 if dry_run else len(good))


def refusal(letter: "Kept", *, again: bool) -> str | None:
    """Why a letter cannot be retried, or must not be a second time."""
    from pipeline.retries import retry_of  # noqa: PLC0415 - starts slowly

    if place := retry_of(letter.headers):
        first = f"{letter.topic}/{place[0]}/{place[1]}"
        return f"it is itself a retry of {first}; retry that one, with --again"
    reason = Verdict(letter.reason)
    if reason not in RETRYABLE:
        return f"{reason.value}: {NEVER[reason]}"
    if letter.retried_ms is not None and not again:
        return "it was retried before; --again does it once more"
    return None


def _outcomes(
    conn: "Connection", settings: "Settings", letters: Sequence["Kept"]
) -> Iterator["Outcome"]:
    """What would become of each, topic by topic."""
    from rackmeter.intake import Intakes  # noqa: PLC0415 - starts slowly
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from sinks.retries import preview  # noqa: PLC0415

    if not letters:
        return
    vault, now_ms = load_vault(settings), _now_ms()
    for topic_id in dict.fromkeys(letter.topic_id for letter in letters):
        row = conn.execute(
            "SELECT partitions FROM ingest_topic WHERE topic_id = %s", (topic_id,)
        ).fetchone()
        assert row is not None, "letters refer to their topic"
        intake = Intakes(settings, vault, row[0], lambda: conn).current()
        mine = [letter for letter in letters if letter.topic_id == topic_id]
        yield from preview(conn, intake, mine, now_ms)
    conn.rollback()


def _send(conn: "Connection", settings: "Settings", letters: Sequence["Kept"]) -> None:
    """Mark, then send."""
    from rackmeter import tape  # noqa: PLC0415 - starts slowly
    from rackmeter.kafka import cluster  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415
    from rackmeter.topics import describe_topics  # noqa: PLC0415
    from sinks.letters import release  # noqa: PLC0415

    stack = running(settings.data_dir)
    where = cluster(settings, stack.bootstrap if stack else None)
    topics = describe_topics(where, sorted({letter.topic for letter in letters}))
    for letter in letters:
        if topics[letter.topic].topic_id != letter.topic_id:
            raise ConfigError(
                f"{letter.place} lay in a topic {letter.topic} that is gone: the broker at"
                f" {where.bootstrap} has another one of that name."
            )
    release(conn, letters, _now_ms())
    for name, topic in topics.items():
        tape.replay(_messages(letters, name, topic.partitions), where, name)


def _messages(letters: Sequence["Kept"], topic: str, partitions: int) -> Iterator["Captured"]:
    from pipeline.retries import retry_headers  # noqa: PLC0415 - starts slowly
    from schemas.capture import Captured, Place  # noqa: PLC0415

    for one in letters:
        if one.topic == topic:
            named = tuple(retry_headers(one.headers, one.part, one.offset))
            place = Place(one.part, partitions)
            yield Captured(one.key, one.append_ms, named, one.payload, place=place)


def _document(rows: Sequence[Row], sent: int) -> None:
    document(
        {
            "sent": sent,
            "letters": [
                {
                    "position": str(one.place),
                    "reason": one.reason,
                    "server": one.server,
                    "outcome": outcome,
                    "detail": detail,
                }
                for one, outcome, detail in rows
            ],
        }
    )


def _tell(rows: Sequence[Row]) -> None:
    table(
        ("position", "server", "was", "would be", "detail"),
        [(o.place, o.server, o.reason, outcome, detail) for o, outcome, detail in rows],
    )
    count = Counter(outcome for _, outcome, _ in rows)
    note(", ".join(f"{n} {outcome}" for outcome, n in sorted(count.items())))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
