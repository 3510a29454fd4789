"""`rackmeter fleet`: a simulated topic with its truth, and usage against it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rackmeter.cli.options import Json, example
from rackmeter.cli.output import document, note, table
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from rackmeter.fleet.adversity import Adversity

_SHOWN: Final = 20
_START: Final = "2026-03-01"


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    fleet = typer.Typer(help="A simulated fleet: simulate, audit.", no_args_is_help=True)
    fleet.callback()(lambda: None)
    fleet.command(
        "simulate",
        epilog=example(
            "fleet simulate --seed 7 --out sim",
            "usage meter sim/reports.ndjson --keys sim/keys.toml --ledger usage.csv",
            "fleet audit usage.csv --truth sim/truth.jsonl",
        ),
    )(simulate)
    fleet.command("audit", epilog=example("fleet audit usage.csv --truth sim/truth.jsonl"))(audit)
    app.add_typer(fleet, name="fleet")


def simulate(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Write the files there.")],
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
    servers: Annotated[int, typer.Option(min=1, max=1000, help="Size of the fleet.")] = 9,
    hours: Annotated[int, typer.Option(min=1, max=744, help="How long it is metered.")] = 24,
    start: Annotated[
        str, typer.Option("--from", metavar="DAY", help="When it begins, in UTC.")
    ] = _START,
    adversity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only this one; may be repeated. `none`: an ordinary fleet."
        ),
    ] = None,
    timestamps: Annotated[
        str, typer.Option(metavar="create|append", help="Whose the messages' time stamps are.")
    ] = "append",
    environment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which signatures cover; else the setting.")
    ] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which signatures cover; else the setting.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a topic in which everything goes wrong, its keys, its truth and every verdict.

    Adversities: replay, conflict, retry, disorder, clock, counter, poison, flood, mixed; all of
    them by default. The files are reports.ndjson, keys.toml, truth.jsonl and verdicts.txt.
    """
    from rackmeter.cli.options import instant  # noqa: PLC0415 - starts slowly
    from rackmeter.fleet import captured  # noqa: PLC0415
    from rackmeter.fleet.log import simulate as made  # noqa: PLC0415
    from rackmeter.fleet.plan import FleetPlan  # noqa: PLC0415
    from rackmeter.fleet.poison import Place  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    if timestamps not in ("create", "append"):
        raise ConfigError(f"--timestamps is {timestamps}; it must be one of create, append.")
    start_ms = round(instant(start).timestamp() * 1000)
    end_ms = start_ms + hours * 3_600_000
    try:
        plan = FleetPlan(seed, servers, start_ms, end_ms, adversities=_named(adversity))
    except ValueError as error:
        raise ConfigError(f"{start} cannot be simulated: {error}.") from None
    settings = load_settings(environment=environment, topic_reports=topic)
    place = Place(settings.environment, settings.topic_reports)
    log = made(plan, place, by_broker=timestamps == "append")
    captured.write(log, out)
    truth = log.truth
    if json:
        found = {"reports": truth.reports, "lost": truth.lost, "clock_corrected": truth.corrected}
        document({**found, "series": len(truth.series), "verdicts": truth.verdicts})
        return
    table(("verdict", "messages"), sorted(truth.verdicts.items()))
    note(f"{truth.reports} messages of {servers} servers are in {out / captured.REPORTS}")


def _named(names: list[str] | None) -> "tuple[Adversity, ...]":
    from rackmeter.fleet.adversity import ALL, Adversity  # noqa: PLC0415

    if names is None:
        return ALL
    known = [one.value for one in Adversity]
    for name in names:
        if name not in (*known, "none"):
            raise ConfigError(f"--adversity is {name}; it must be one of {', '.join(known)}, none.")
    return tuple(one for one in Adversity if one.value in names)


def audit(
    usage: Annotated[Path, typer.Argument(metavar="CSV", help="From `usage meter` or `export`.")],
    truth: Annotated[Path, typer.Option(metavar="FILE", help="The truth of the same fleet.")],
    json: Json = False,
) -> None:
    """Compare usage with a truth, to the unit; a difference ends it with exit code 3."""
    from dataclasses import asdict  # noqa: PLC0415

    from rackmeter.fleet.audit_csv import audit_csv  # noqa: PLC0415 - starts slowly
    from rackmeter.fleet.truth import read  # noqa: PLC0415

    try:
        known = read(truth)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{truth} is no truth: {error}.") from error
    found = audit_csv(usage, known)
    if json:
        differences = [asdict(one) for one in found.differences]
        counted = {"series": found.series, "figures": found.figures}
        document({**counted, "differences": differences})
        raise typer.Exit(DifferenceError.exit_code if differences else 0)
    shown = found.differences[:_SHOWN]
    rows = [(o.server, o.meter, o.resource, o.figure, o.truth, o.ledger) for o in shown]
    table(("server", "meter", "resource", "figure", "truth", "usage"), rows)
    note(f"{found.figures} figures of {found.series} series were compared")
    if found.differences:
        raise DifferenceError(f"{len(found.differences)} figures are not what they must be.")
