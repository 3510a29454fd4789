"""What a command on an item does not reach, said with it."""

from typing import TYPE_CHECKING

from rackmeter.cli.output import local_time, note

if TYPE_CHECKING:
    from rackmeter.cli.item_order import Given
    from sinks.database import Connection


def note_before(conn: "Connection", account: str, given: "Given") -> None:
    """Where it was rented before the account is billed here."""
    from pipeline.periods import month, previous  # noqa: PLC0415 - starts slowly
    from sinks.billed_from import billed_from  # noqa: PLC0415

    known = billed_from(conn, [account]).get(account)
    first = known[0] if known else given.entered_at
    since = month(first, given.timezone)
    since = since if known else previous(since, given.timezone)  # the next close is of that
    if given.at >= since.start:
        return
    says = f"is billed from {first:%Y-%m} on" if known else "was never billed"
    at = local_time(given.at, given.timezone)[: len("2026-06")]
    note(
        f"{account} {says}: no close bills what was rented before by itself; if that is wrong:"
        f" `rackmeter account billed {account} --from {at}`"
    )


def note_handed(conn: "Connection", item: str, part: str, value: str, timezone: str) -> None:
    """Where the item was handed over since: whoever has its server goes on as it was then."""
    from pipeline.choices import Part  # noqa: PLC0415 - starts slowly
    from sinks.beyond import handed_on  # noqa: PLC0415

    found = handed_on(conn, item, Part(part))
    if found is not None and found.value != value:
        at = local_time(found.at, timezone)
        note(
            f"that is until {at}: {found.to} has {part} {found.value} from then on, as {item} had"
            f" when it was handed over; if that is wrong, say it of {found.to} too"
        )


def note_minimum(conn: "Connection", item: str, timezone: str) -> None:
    """Where the last item of a scope has ended, and a contract's minimum has not."""
    from sinks.beyond import minimums_after  # noqa: PLC0415 - starts slowly

    for one in minimums_after(conn, item):
        until = f"until {local_time(one.until, timezone)}" if one.until else "without an end"
        note(
            f"nothing of {one.scope} is rented after that, and the minimum of contract"
            f" {one.contract} is charged {until}: a later contract that asks for nothing ends it,"
            " from its `effective` on"
        )
