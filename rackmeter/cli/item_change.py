"""`rackmeter item swap, resize, addon, suspend, resume, hand-over`: what is rented on changes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rackmeter.cli.item_beyond import note_before, note_handed, note_minimum
from rackmeter.cli.item_order import (
    Account,
    Catalogue,
    Given,
    Id,
    Said,
    Scope,
    give,
    new_ids,
    note_unknown,
    ordered,
)
from rackmeter.cli.options import example, instant, is_local, server_id
from rackmeter.cli.output import local_time, note
from rackmeter.errors import ConfigError
from schemas.billing import Span
from schemas.prices import IntervalKind

if TYPE_CHECKING:
    from sinks.changes import Answer
    from sinks.database import Connection

Addon = Annotated[str, typer.Argument(metavar="ADDON", help="As the catalogue calls it.")]
Kind = Annotated[IntervalKind, typer.Option("--kind", help="How the time counts.")]


def add(item: typer.Typer) -> None:
    """Put the verbs below the noun."""
    item.command("swap", epilog=example("item swap web-1 --server ax-018 --why 'disk failed'"))(
        swap_server
    )
    item.command(
        "resize", epilog=example("item resize web-1 --plan ax-large-hourly --at 2026-10-15")
    )(resize_item)
    addon = typer.Typer(help="Add-ons of an item: add, drop.", no_args_is_help=True)
    addon.command("add", epilog=example("item addon add web-1 ipv4 --count 4"))(add_to_item)
    addon.command("drop", epilog=example("item addon drop web-1 ipv4 --at 2026-11-01"))(
        drop_from_item
    )
    item.add_typer(addon, name="addon")
    item.command(
        "suspend",
        epilog=example(
            "item suspend web-1 --why 'invoice unpaid'",
            "item suspend web-1 --kind maintenance --at 2026-10-03T01:00Z "
            "--until 2026-10-03T02:00Z",
        ),
    )(suspend_item)
    item.command("resume", epilog=example("item resume web-1"))(resume_item)
    item.command(
        "hand-over",
        epilog=example(
            "item hand-over web-1 --to shop-1 --account beta --at 2026-10-15 --at-window"
        ),
    )(hand_over_item)


def _note_next(
    conn: "Connection", item: str, part: str, given: Given, name: str = "", value: str = ""
) -> None:
    """Says until when that holds, where something else was said for later, or ``value`` for another
    item since.
    """
    from pipeline.choices import Part  # noqa: PLC0415 - starts slowly
    from sinks.choices import next_of  # noqa: PLC0415

    later = next_of(conn, item, Part(part), given.at, name)
    if later is not None:
        what = f"{later.value} {name}" if name else f"{part} {later.value}"
        note(f"that is until {local_time(later.at, given.timezone)}: {what} was said for then")
    elif value:
        note_handed(conn, item, part, value, given.timezone)


@ordered
def swap_server(
    item: Id,
    *,
    said: Said,
    server: Annotated[str, typer.Option(metavar="SERVER", help="Which hardware serves it then.")],
) -> None:
    """Swap the hardware behind an item; the rental goes on, started hours and cap too."""
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.timelines import swap  # noqa: PLC0415

    server_id(server)

    def command(conn: "Connection", given: Given) -> "Answer":
        note_unknown(conn, server)
        answer = swap(conn, item, server, given.at, given.entered_at, given.order)
        _note_next(conn, item, "server", given, value=server)
        return answer

    shown = {"item": item, "server": server}
    give(said, f"swapped to {server}", shown, lambda conn: of_item(conn, item), command)


@ordered
def resize_item(
    item: Id,
    *,
    said: Said,
    plan: Annotated[str, typer.Option(metavar="PLAN", help="A plan of the catalogue.")],
    catalog: Catalogue = None,
) -> None:
    """Change an item's plan; its add-ons stay, and so do started hours."""
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_item  # noqa: PLC0415
    from sinks.alterations import resize  # noqa: PLC0415
    from sinks.changes import scopes_of  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        prices = catalogue(conn, catalog, scopes_of(conn, [item])[0], given.at)
        answer = resize(
            conn, item, plan=plan, at=given.at, catalog=prices, entered_at=given.entered_at,
            order=given.order,
        )  # fmt: skip
        _note_next(conn, item, "plan", given, value=plan)
        return answer

    shown = {"item": item, "plan": plan}
    give(said, f"resized to {plan}", shown, lambda conn: of_item(conn, item), command)


@ordered
def add_to_item(
    item: Id,
    addon: Addon,
    *,
    said: Said,
    count: Annotated[int, typer.Option(min=1, help="How many it has from then on.")] = 1,
    catalog: Catalogue = None,
) -> None:
    """Add an add-on to an item, or change how many of it there are."""
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_item  # noqa: PLC0415
    from sinks.alterations import add_addon  # noqa: PLC0415
    from sinks.changes import scopes_of  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        prices = catalogue(conn, catalog, scopes_of(conn, [item])[0], given.at)
        answer = add_addon(
            conn, item, addon=addon, count=count, at=given.at, catalog=prices,
            entered_at=given.entered_at, order=given.order,
        )  # fmt: skip
        _note_next(conn, item, "addon", given, addon)
        return answer

    shown = {"item": item, "addon": addon, "count": count}
    give(said, f"given {count} {addon}", shown, lambda conn: of_item(conn, item), command)


@ordered
def drop_from_item(
    item: Id,
    addon: Addon,
    *,
    said: Said,
) -> None:
    """Drop an add-on of an item."""
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.alterations import drop_addon  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        answer = drop_addon(
            conn, item, addon=addon, at=given.at, entered_at=given.entered_at, order=given.order
        )
        _note_next(conn, item, "addon", given, addon)
        return answer

    shown = {"item": item, "addon": addon}
    give(said, f"rid of {addon}", shown, lambda conn: of_item(conn, item), command)


@ordered
def suspend_item(
    item: Id,
    *,
    said: Said,
    kind: Kind = IntervalKind.SUSPENSION,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Its end, read as --at; open until resumed if not given."
        ),
    ] = None,
) -> None:
    """Say that an item's time counts otherwise: suspension, trial, exclusion, maintenance.

    What such time costs is said by each charge of the catalogue. A server that is silent in it does
    not hold up a close. Told late or twice, what overlaps is one: resume it where it ended.
    """
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.intervals import interval_at, suspend  # noqa: PLC0415

    if until == "now":
        raise ConfigError("--until is now: say when it began with --at, and an instant to end.")
    shown: dict[str, Any] = {"item": item, "kind": kind, "until": None}

    def command(conn: "Connection", given: Given) -> "Answer":
        end = shown["until"] = None if until is None else instant(until, given.timezone)
        answer = suspend(
            conn, item, at=given.at, until=end, kind=kind, entered_at=given.entered_at,
            order=given.order,
        )  # fmt: skip
        span, be = interval_at(conn, item, kind, answer.at), "would be" if said.dry_run else "is"
        if span is not None and span != Span(answer.at, end):
            low, high = (at and local_time(at, given.timezone) for at in (span.start, span.end))
            note(f"{item} {be} in {kind} from {low} {f'to {high}' if high else 'until resumed'}")
        return answer

    give(said, f"put into {kind}", shown, lambda conn: of_item(conn, item), command)


@ordered
def resume_item(
    item: Id,
    *,
    said: Said,
    kind: Kind = IntervalKind.SUSPENSION,
) -> None:
    """End a suspension, or an interval of another kind; one that begins then is taken back."""
    from rackmeter.cli.zones import of_item  # noqa: PLC0415 - starts slowly
    from sinks.intervals import resume  # noqa: PLC0415

    def command(conn: "Connection", given: Given) -> "Answer":
        return resume(
            conn, item, at=given.at, kind=kind, entered_at=given.entered_at, order=given.order
        )

    shown = {"item": item, "kind": kind}
    give(said, f"resumed from {kind}", shown, lambda conn: of_item(conn, item), command)


@ordered
def hand_over_item(
    item: Id,
    *,
    said: Said,
    to: Annotated[str, typer.Option(metavar="ITEM", help="Id of the new customer's slot.")],
    account: Account,
    plan: Annotated[
        str | None, typer.Option(metavar="PLAN", help="The same plan if not given.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="As it is to stand on invoices; its plan's if not given.")
    ] = None,
    catalog: Catalogue = None,
    scope: Scope = None,
) -> None:
    """Hand an item's server to another customer: one rental ends and another begins.

    A day is that of both customers: where their zones differ, give a time with an offset.
    """
    from rackmeter.cli.prices import catalogue  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account, of_item  # noqa: PLC0415
    from sinks.timelines import hand_over  # noqa: PLC0415

    new_ids(to, scope)

    def zone(conn: "Connection") -> str:
        here, there = of_item(conn, item), of_account(conn, account)
        if here != there and is_local(said.at):
            raise ConfigError(
                f"{said.at} is another instant in {here}, where {item} ends, than in {there}, where"
                f" {to} begins: give --at with an offset, such as 2026-11-01T00:00:00+01:00."
            )
        return here

    def command(conn: "Connection", given: Given) -> "Answer":
        prices = catalogue(conn, catalog, scope or to, given.at)
        answer = hand_over(
            conn, item, to=to, account=account, title=title, plan=plan, scope=scope, at=given.at,
            catalog=prices, entered_at=given.entered_at, order=given.order,
        )  # fmt: skip
        note_before(conn, account, given)
        note_minimum(conn, item, given.timezone)
        return answer

    shown = {"item": item, "to": to, "account": account}
    give(said, f"handed over to {account} as {to}", shown, zone, command)
