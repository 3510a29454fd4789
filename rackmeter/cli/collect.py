"""`rackmeter collect`: counters that the provider reads himself."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.options import Json, example
from rackmeter.cli.output import document, note, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rackmeter.collect.config import Collect
    from rackmeter.collect.source import Source

Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="TOML; docs/collect.md.")]
Once = Annotated[
    bool, typer.Option("--once", help="Look once and print what would be sent; send nothing.")
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    noun = typer.Typer(
        no_args_is_help=True, help="Read switch ports, exporters, chassis; send reports."
    )
    app.add_typer(noun, name="collect")
    noun.command(
        "snmp",
        epilog=example(
            "collect snmp --config /etc/rackmeter/snmp.toml --once --json",
            "collect snmp --config /etc/rackmeter/snmp.toml",
        ),
    )(snmp)
    noun.command(
        "scrape",
        epilog=example(
            "collect scrape --config /etc/rackmeter/scrape.toml --once --json",
            "collect scrape --config /etc/rackmeter/scrape.toml",
        ),
    )(scrape)
    noun.command(
        "redfish",
        epilog=example(
            "collect redfish --config /etc/rackmeter/redfish.toml --once --json",
            "collect redfish --config /etc/rackmeter/redfish.toml",
        ),
    )(redfish)


def snmp(*, config: Config, once: Once = False, json: Json = False) -> None:
    """Meter the ports of switches, by SNMP v2c or v3, until told to stop.

    Exit code 1: stopped with reports unsent (they wait), or nothing answered with --once.
    """
    from rackmeter.collect.config import Snmp, read, switches  # noqa: PLC0415 - starts slowly

    said = read(config, Snmp)
    _run(said, switches(said), once=once, json=json)


def scrape(*, config: Config, once: Once = False, json: Json = False) -> None:
    """Meter what exporters of Prometheus show, until told to stop.

    Exit code 1: stopped with reports unsent (they wait), or nothing answered with --once.
    """
    from rackmeter.collect.config import Scrape, exporters, read  # noqa: PLC0415 - starts slowly

    said = read(config, Scrape)
    _run(said, exporters(said), once=once, json=json)


def redfish(*, config: Config, once: Once = False, json: Json = False) -> None:
    """Meter the energy of chassis, from their controllers by Redfish, until told to stop.

    Exit code 1: stopped with reports unsent (they wait), or nothing answered with --once.
    """
    from rackmeter.collect.config import Redfish, controllers, read  # noqa: PLC0415 - starts slowly

    said = read(config, Redfish)
    _run(said, controllers(said), once=once, json=json)


def _run(said: "Collect", sources: "Sequence[Source]", *, once: bool, json: bool) -> None:
    from agents import clock  # noqa: PLC0415 - with the client, 12 MB
    from agents.log import set_up  # noqa: PLC0415
    from agents.publish import Publisher  # noqa: PLC0415
    from agents.spool import Spool  # noqa: PLC0415
    from agents.state import Store  # noqa: PLC0415
    from rackmeter.collect import service  # noqa: PLC0415
    from rackmeter.collect.config import ring  # noqa: PLC0415

    set_up("plain")
    boot_id = clock.boot_id(Path("/"))
    collector = service.Collector(said, sources, boot_id)
    if once:
        _print(asyncio.run(service.once(collector)), json=json)
        return
    target = ring(said, frozenset().union(*(one.servers for one in sources)))
    lock = Store(said.state)
    lock.open()
    try:
        spool = Spool(said.state / "spool", said.spool_mib * 2**20, 2_000)
        spool.open()
        publisher = Publisher(target, clock.now, spool, boot_id)
        if not asyncio.run(service.serve(collector, publisher)):
            note(f"stopped with {publisher.unsent} reports unsent; the next start sends them")
            raise typer.Exit(1)
    finally:
        lock.close()


def _print(reports: "Sequence[object]", *, json: bool) -> None:
    from schemas.report import Report  # noqa: PLC0415

    found = [one for one in reports if isinstance(one, Report)]
    if json:
        document(found)
    else:
        rows = [
            (one.server, meter, resource, value)
            for one in found
            for meter, resource, value in zip(one.meter, one.resource, one.value, strict=True)
        ]
        table(("server", "meter", "resource", "counter"), rows)
    if not found:
        raise typer.Exit(1)
