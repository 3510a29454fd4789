"""`rackmeter usage meter`: a capture through the meter, without broker or ledger."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, table
from rackmeter.cli.progress import Progress
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.keyring import Keyring
    from pipeline.offline import Coverage
    from rackmeter.offline import Result
    from rackmeter.settings import Settings

Capture = Annotated[
    Path, typer.Argument(metavar="REPORTS", help="NDJSON, plain or gzip, one message a line.")
]
TIMESTAMPS: Final = ("create", "append")
"""By Kafka's numbers."""

HELP = """\
Meter captured messages as a worker would: no broker, no database, no clock.

A line is {"key", "ts_ms", "headers", "value" | "value_raw" | "value_b64"}, in log order; ts_ms is
the message's time stamp. The CSV has the columns server, meter, resource, window_start, quantity:
every window, open ones included, late entries as rows of their own. `usage export` writes the same
from a ledger, so `diff` compares the two.
"""


def add(usage: typer.Typer) -> None:
    """Put the verb below the noun."""
    usage.command(
        "meter",
        help=HELP,
        epilog=example(
            "usage meter reports.ndjson --ledger usage.csv --keys keys.toml",
            "usage meter reports.ndjson.gz --unsigned --dead refused.ndjson --json",
        ),
    )(meter)


def meter(
    *,
    reports: Capture,
    ledger: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write every window there.")
    ] = None,
    dead: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write refused messages there, with reason and detail."),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="TOML",
            help='Check signatures with these: SERVER = "secret" (hex, base64 or text:…), or a'
            " table [SERVER] with kid, secret, valid_from, valid_to.",
        ),
    ] = None,
    ledger_keys: Annotated[
        bool, typer.Option("--ledger-keys", help="Check signatures with the ledger's own keys.")
    ] = False,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Do not look at signatures.")
    ] = False,
    timestamps: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(TIMESTAMPS),
            help="Whose ts_ms is, the producer's or the broker's; by default what the line says"
            " (ts_type), else the broker's.",
        ),
    ] = None,
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which signatures cover; else the setting.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which signatures cover; else the setting.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Meter captured messages (the text of the page is HELP)."""
    from pipeline.admit import Rules  # noqa: PLC0415 - starts slowly
    from pipeline.lanes import Intake  # noqa: PLC0415
    from pipeline.names import NamesCache  # noqa: PLC0415
    from rackmeter.offline import meter_file  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    if timestamps is not None and timestamps not in TIMESTAMPS:
        raise ConfigError(f"--timestamps is {timestamps}; it must be one of create, append.")
    files = [path.resolve() for path in (reports, ledger, dead) if path is not None]
    if len(set(files)) < len(files):
        raise ConfigError("REPORTS, --ledger and --dead must be different files.")
    settings = load_settings(environment=environment, topic_reports=topic, data_dir=data_dir)
    ring, registered = _ring(settings, keys, ledger_keys=ledger_keys, unsigned=unsigned)
    intake = Intake(
        ring, registered, NamesCache(), settings.environment, 1, Rules(settings.gap_limit_ms),
        settings.clock_tolerance_ms,
    )  # fmt: skip
    found = meter_file(
        reports, intake, settings.topic_reports, ledger, dead=dead, progress=Progress("metered"),
        timestamps=None if timestamps is None else TIMESTAMPS.index(timestamps),
    )  # fmt: skip
    if json:
        document(_document(found))
    else:
        _tables(found)


def _ring(
    settings: "Settings", keys: Path | None, *, ledger_keys: bool, unsigned: bool
) -> "tuple[Keyring, dict[str, int]]":
    """Whom to believe, and since when each server is registered."""
    if [keys is not None, ledger_keys, unsigned].count(True) != 1:
        raise ConfigError(
            "Say how signatures are checked: --keys FILE, --ledger-keys, or --unsigned."
        )
    if keys is not None:
        from rackmeter.capture_keys import read_keys  # noqa: PLC0415 - as few need each

        return read_keys(keys)
    if unsigned:
        from pipeline.keyring import NoSignatures  # noqa: PLC0415

        return NoSignatures(), {}
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.key_files import load_vault  # noqa: PLC0415
    from sinks.known_keys import load_keys  # noqa: PLC0415

    with ledger(settings.data_dir) as conn:
        return load_keys(conn, load_vault(settings))


def _document(found: "Result") -> dict[str, object]:
    return {
        **found.counts,
        "series": [
            {"server": server, "meter": name, "resource": resource, "total": total}
            for (server, name, resource), total in found.totals
        ],
        "coverage": [
            {
                "server": one.server,
                "observed_ms": one.observed_ms,
                "span_ms": one.span_ms,
                "share": _share(one),
            }
            for one in found.coverage
        ],
    }


def _tables(found: "Result") -> None:
    table(("", "messages"), [item for item in found.counts.items() if item[1]])
    lines([""])
    table(
        ("server", "meter", "resource", "total"),
        [(*series, total) for series, total in found.totals],
    )
    lines([""])
    shares = [(one, _share(one)) for one in found.coverage]
    table(
        ("server", "observed s", "span s", "share"),
        [
            (
                one.server,
                one.observed_ms // 1000,
                one.span_ms // 1000,
                "" if share is None else f"{share:.2%}",
            )
            for one, share in shares
        ],
    )


def _share(one: "Coverage") -> float | None:
    """None where a server has but one reading."""
    return round(one.observed_ms / one.span_ms, 6) if one.span_ms > 0 else None
