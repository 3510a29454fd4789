"""`rackmeter dlq`: reports that were refused, why, and what to do about them."""

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from rackmeter.cli import dlq_retry
from rackmeter.cli.dlq_words import NEVER, TO_DO
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, RefusedError
from schemas.verdict import Verdict

if TYPE_CHECKING:
    from sinks.letters import Kept, Line, Place, Wanted

Reason = Annotated[
    str | None, typer.Option(metavar="REASON", help="Only these, for example malformed.")
]
Server = Annotated[
    str | None, typer.Option(metavar="SERVER", help="Only those with this message key.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only those appended from then on; a day is UTC's."),
]
_SHOWN_BYTES_MAX: Final = 64 * 2**10
"""A person's screen; --json has the whole."""


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    dlq = typer.Typer(help="Refused reports: list, show, retry.", no_args_is_help=True)
    dlq.command(
        "list",
        epilog=example(
            "dlq list", "dlq list --reason forged --since 2026-10-01 --limit 5 --json",
            "dlq list --server ax-017",
        ),
    )(list_letters)  # fmt: skip
    dlq.command("show", epilog=example("dlq show usage.reports/1/67"))(show)
    dlq.command(
        "retry",
        help=dlq_retry.HELP,
        epilog=example(
            "dlq retry usage.reports/1/67 --dry-run",
            "dlq retry --reason unknown_key --server ax-017 --yes",
        ),
    )(retry)
    app.add_typer(dlq, name="dlq")


def list_letters(
    reason: Reason = None,
    server: Server = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N.")] = 50,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show refused reports, newest first, with their position and one sentence each."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.letters import counts, newest  # noqa: PLC0415

    wanted = _wanted(None, reason, server, since)
    with ledger(data_dir) as conn:
        count, found = counts(conn, wanted), newest(conn, wanted, limit)
    if json:
        document({"counts": count, "letters": [_line(one) for one in found]})
        return
    table(
        ("reason", "position", "server", "appended (UTC)", "retried (UTC)", "detail"),
        [
            (o.reason, o.place, o.server, _at(o.append_ms), _at(o.retried_ms), o.detail)
            for o in found
        ],
    )
    note(", ".join(f"{n} {name}" for name, n in count.items()) or "no report was refused")


def show(
    position: Annotated[str, typer.Argument(metavar="POSITION", help="As `dlq list` shows it.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show one refused message whole: headers, body, why it was refused and what to do."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.letters import whole  # noqa: PLC0415

    wanted = _wanted(position, None, None, None)
    with ledger(data_dir) as conn:
        found = whole(conn, wanted, 1)
    if not found:
        raise RefusedError(f"No report was refused at {position}: `rackmeter dlq list` has them.")
    if json:
        document(_whole(found[0]))
    else:
        lines(_page(found[0]))


def retry(
    position: Annotated[
        str | None, typer.Argument(metavar="POSITION", help="One, as `dlq list` shows it.")
    ] = None,
    *,
    reason: Reason = None,
    server: Server = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The oldest N.")] = 1_000,
    again: Annotated[
        bool, typer.Option("--again", help="Even those that were retried before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would become of them; send nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Send refused reports again (the text of the page is ``dlq_retry.HELP``)."""
    wanted = _wanted(position, reason, server, since)
    if not any((position, reason, server, since)):
        raise ConfigError("Which? Name a POSITION, or --reason, --server or --since.")
    dlq_retry.run(
        wanted, limit, again=again, dry_run=dry_run, yes=yes, data_dir=data_dir, json=json
    )


def _wanted(
    position: str | None, reason: str | None, server: str | None, since: str | None
) -> "Wanted":
    from sinks.letters import Wanted  # noqa: PLC0415 - starts slowly

    reasons = [verdict.value for verdict in Verdict if verdict.refused]
    if reason is not None and reason not in reasons:
        raise ConfigError(f"--reason is {reason}; it must be one of {', '.join(reasons)}.")
    since_ms = None if since is None else int(instant(since).timestamp() * 1000)
    return Wanted(None if position is None else _place(position), reason, server, since_ms)


def _place(text: str) -> "Place":
    from sinks.letters import Place  # noqa: PLC0415 - starts slowly

    match text.split("/"):
        case [topic, part, offset] if (
            part.isdecimal() and offset.isdecimal() and len(part) < 10 and len(offset) < 19
        ):
            return Place(topic, int(part), int(offset))
    raise ConfigError(f"{text} is no position; write TOPIC/PARTITION/OFFSET: usage.reports/1/67.")


def _at(ms: int | None) -> str:
    if ms is None:
        return ""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # a producer may stamp what it likes
        return f"{ms} ms"


def _line(one: "Line") -> dict[str, Any]:
    return {
        "reason": one.reason,
        "position": str(one.place),
        "topic": one.topic,
        "partition": one.part,
        "offset": one.offset,
        "server": one.server,
        "appended_ms": one.append_ms,
        "timestamps": "append" if one.by_broker else "create",
        "retried_ms": one.retried_ms,
        "bytes": one.size,
        "detail": one.detail,
    }


def _whole(one: "Kept") -> dict[str, Any]:
    return {
        **_line(one),
        "key": _any(one.key),
        "headers": [[name, _any(value)] for name, value in one.headers],
        "body": _any(one.payload),
        "to_do": TO_DO[Verdict(one.reason)],
        "retry": NEVER.get(Verdict(one.reason)) or "possible",
    }


def _page(one: "Kept") -> list[str]:
    never = NEVER.get(Verdict(one.reason))
    body = one.payload[:_SHOWN_BYTES_MAX]
    text = _readable(body)
    said = [
        f"position  {one.place}",
        f"reason    {one.reason}: {one.detail}",
        f"to do     {TO_DO[Verdict(one.reason)]}",
        f"retry     {f'is of no use: {never}' if never else 'possible'}",
        f"appended  {_at(one.append_ms)} UTC, by the {'broker' if one.by_broker else 'producer'}",
        f"key       {'none' if one.key is None else _shown(one.key)}",
        *(f"header    {_shown(name.encode())}: {_shown(value)}" for name, value in one.headers),
        *([f"retried   {_at(one.retried_ms)} UTC"] if one.retried_ms else []),
        f"body      {one.size:,} bytes{'' if text is not None else ', in hexadecimal'}",
        "",
        body.hex(" ") if text is None else text,
    ]
    cut = len(one.payload) > len(body)
    return [*said, f"… cut after {len(body):,} bytes: --json has the whole"] if cut else said


def _shown(value: bytes) -> str:
    text = _readable(value)
    return ascii(value) if text is None else text


def _readable(value: bytes) -> str | None:
    """Text that does nothing to a terminal."""
    text = value.decode(errors="replace").rstrip("\ufffd")
    return text if text.replace("\n", "").isprintable() and "\ufffd" not in text else None


def _any(value: bytes | None) -> object:
    """Text, or what cannot be text as an object of Base64."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
