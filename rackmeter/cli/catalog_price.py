"""`rackmeter catalog price` and `catalog schema`: what needs files only, no broker or database."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from rackmeter.cli.options import Json, example
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.quote import Quote
    from schemas.billing import Span
    from schemas.terms import TaxProfile

_MODES: Final = {
    "exclusive": "",
    "inclusive": ", out of prices that include tax",
    "reverse charge": ", reverse charge: the buyer owes the tax",
}


def add(catalog: typer.Typer) -> None:
    """Put the verbs under their noun."""
    catalog.command(
        "price",
        epilog=example(
            "catalog price --catalog prices/2026-03.toml --usage usage.toml",
            "catalog price --catalog prices/acme.toml --usage usage.json --json",
        ),
    )(price)
    catalog.command(
        "schema", epilog=example("catalog schema > schema.json", "catalog schema contract")
    )(schema)


def price(
    *,
    catalog: Annotated[
        Path, typer.Option(metavar="FILE", help="A catalogue, or a contract beside its base.")
    ],
    usage: Annotated[Path, typer.Option(metavar="FILE", help="What is used, as TOML or JSON.")],
    base: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The contract's base, if not beside it.")
    ] = None,
    json: Json = False,
) -> None:
    """Price a month of use as an invoice would, from two files: for tests and for quotations."""
    from pipeline.quote import quote  # noqa: PLC0415 - starts slowly
    from pipeline.quote_read import read_usage, timezone_of  # noqa: PLC0415
    from rackmeter.cli.prices import offer, text_of  # noqa: PLC0415

    text, name = text_of(usage), str(usage)
    offered = offer(catalog, base, timezone_of(text, name))
    request = read_usage(text, name, offered.catalog, offered.discounts, offered.commitments)
    for silent in request.silent:
        note(f"{usage}: nothing is said of {silent}: counted as none")
    quoted = quote(request, offered.catalog.seller)
    if json:
        document(_document(quoted, offered.catalog.version, request.profile))
    else:
        _print(quoted, request.profile)


def schema(
    kind: Annotated[
        str, typer.Argument(metavar="[catalogue|contract|usage]", help="Which kind of file.")
    ] = "catalogue",
) -> None:
    """Print the JSON Schema of a file, for editors: name it in its first line, `#:schema FILE`."""
    from pipeline.catalog_schema import SCHEMAS  # noqa: PLC0415 - starts slowly

    if kind not in SCHEMAS:
        raise ConfigError(f'There is no schema "{kind}"; write one of {", ".join(SCHEMAS)}.')
    document(SCHEMAS[kind]())


def _document(quoted: "Quote", version: str, profile: "TaxProfile") -> dict[str, Any]:
    totals = quoted.totals
    return {
        "catalog": version,
        "period": {"from": quoted.period.start, "until": quoted.period.end},
        "currency": quoted.currency,
        "lines": [
            {
                "kind": line.kind.value,
                "item": line.item or None,
                "charge": line.charge or None,
                "name": line.name or None,
                "service_period": {
                    "from": line.service_period.start,
                    "until": line.service_period.end,
                },
                "quantity": line.quantity,
                "unit": line.unit,
                "price": line.price,
                "gross": line.gross,
                "discount": line.discount,
                "net": line.net,
                "tax_group": line.tax_group,
                "explain": line.explain,
            }
            for line in quoted.lines
        ],
        "totals": {
            "tax_mode": profile.mode.value,
            "net": totals.net,
            "taxes": totals.taxes,
            "tax": totals.tax,
            "gross": totals.gross,
            "credit": totals.paid,
            "due": totals.due,
        },
    }


def _print(quoted: "Quote", profile: "TaxProfile") -> None:
    table(
        ("item", "charge", "from", "until", "quantity", "unit", "price", "discount", "net", "why"),
        [
            (
                x.item or "(invoice)",
                x.charge or f"{x.kind.value} {x.name}",
                *_days(x.service_period, quoted.timezone),
                x.quantity,
                x.unit,
                x.price,
                x.discount,
                x.net,
                x.explain,
            )
            for x in quoted.lines
        ],
    )
    totals, currency = quoted.totals, quoted.currency
    taxes = [f"tax {t.category} {t.rate} % of {t.base}: {t.tax}" for t in totals.taxes]
    drawn = [f"credit {draw.credit}: -{draw.amount}" for draw in totals.paid]
    said = _MODES[profile.mode.value]
    lines(["", f"net {totals.net} {currency}{said}", *taxes, f"gross {totals.gross} {currency}"])
    lines([*drawn, f"due {totals.due} {currency}"] if drawn else [])


def _days(span: "Span", timezone: str) -> tuple[str, str]:
    zone = ZoneInfo(timezone)
    ends = (span.start, span.end or span.start)
    first, last = (f"{instant.astimezone(zone):%Y-%m-%d %H:%M}" for instant in ends)
    return first, last
