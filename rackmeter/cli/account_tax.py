"""`rackmeter account tax`: how a customer is taxed, and since when."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from rackmeter.cli.acts import myself
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, local_time, note, table
from rackmeter.errors import ConfigError

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="As `account list` shows it.")]
Text = str | None


def add(account: typer.Typer) -> None:
    """Put the noun below `account`."""
    tax = typer.Typer(help="Tax profiles: set, show.", no_args_is_help=True)
    tax.command(
        "set",
        epilog=example(
            "account tax set acme --mode inclusive --from 2026-11-01",
            "account tax set acme --mode reverse-charge --country FR --vat-id FR40303265045 "
            '--evidence "VIES WAPIAAAAYq8s1X2m"',
        ),
    )(set_tax)
    tax.command("show", epilog=example("account tax show acme", "account tax show acme --json"))(
        show_tax
    )
    account.add_typer(tax, name="tax")


def set_tax(
    account: Account,
    *,
    mode: Annotated[
        Text, typer.Option(help="exclusive, inclusive or reverse-charge; else as it was.")
    ] = None,
    rounding: Annotated[Text, typer.Option(help="half-up or down; else as it was.")] = None,
    country: Annotated[Text, typer.Option(metavar="CC", help="Where the buyer is taxed.")] = None,
    vat_id: Annotated[Text, typer.Option(help="Checked for the form of its country.")] = None,
    evidence: Annotated[
        Text, typer.Option(help="What confirmed the VAT id, such as VIES' answer.")
    ] = None,
    checked: Annotated[
        Text, typer.Option(metavar="TIME", help="When it did, by the account's clock; else now.")
    ] = None,
    since: Annotated[
        Text, typer.Option("--from", metavar="DAY", help="Its midnight at the account's; else now.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Set how a customer is taxed from a day on; what is not said stays as it was then.

    A period is taxed as its end is. A new VAT id needs new evidence.
    """
    from invoicing.retaxed import retaxed  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.tax_profiles import profile_at, set_profile, vat_id_of  # noqa: PLC0415

    now = datetime.now(UTC)
    with ledger(data_dir) as conn:
        timezone = of_account(conn, account)
        start = now if since is None else instant(since, timezone)
        profile = profile_at(conn, account, start)
        place = (country or profile.country).upper()
        number = vat_id_of(place, profile.vat_id if vat_id is None else vat_id)
        same = (place, number) == (profile.country, profile.vat_id)
        proof = (profile.evidence if same else "") if evidence is None else evidence
        told = profile.checked_at if evidence is None else instant(checked, timezone)
        profile = replace(
            profile, mode=_mode(mode) or profile.mode,
            rounding=_rounding(rounding) or profile.rounding, country=place, vat_id=number,
            evidence=proof, checked_at=told if proof else None,
        )  # fmt: skip
        new = set_profile(conn, account, profile, start, myself(), now)
        late = retaxed(conn, [account]) if new else []
    if json:
        document({"account": account, "from": start, "set": new, "too_late_for":
                  [one.invoice for one in late], **_plain(profile)})  # fmt: skip
    else:
        said = f"{profile.mode.value}, {profile.country} {profile.vat_id}".rstrip()
        when = f"from {local_time(start, timezone)} ({timezone}){'' if new else ' already'}"
        lines([f"{account} is taxed {said} {when}"])
    for one in late:
        note(str(one))


def show_tax(account: Account, data_dir: DataDir = None, json: Json = False) -> None:
    """Show how a customer is taxed, and all that was said before."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.zones import of_account  # noqa: PLC0415
    from sinks.tax_profiles import history, profile_at  # noqa: PLC0415

    with ledger(data_dir) as conn:
        timezone = of_account(conn, account)
        current, found = profile_at(conn, account, datetime.now(UTC)), history(conn, account)
    if json:
        document(
            {
                "account": account, "now": _plain(current),
                "said": [
                    {
                        **_plain(one.profile), "from": one.valid.start, "until": one.valid.end,
                        "entered_by": one.entered_by, "entered_at": one.entered_at,
                        "superseded_at": one.superseded_at,
                    }
                    for one in found
                ],
            }
        )  # fmt: skip
        return
    lines([f"{account}: {current.mode.value}, rounded {current.rounding.value}", ""])
    table(
        ("from", "until", "mode", "rounding", "country", "VAT id", "evidence", "entered by",
         "superseded"),
        [
            (
                local_time(one.valid.start, timezone),
                local_time(one.valid.end, timezone) if one.valid.end else "",
                one.profile.mode.value, one.profile.rounding.value, one.profile.country,
                one.profile.vat_id, one.profile.evidence, one.entered_by,
                local_time(one.superseded_at, timezone) if one.superseded_at else "",
            )
            for one in found
        ],
    )  # fmt: skip


def _plain(profile: Any) -> dict[str, Any]:
    return {
        **asdict(profile), "mode": profile.mode.value, "rounding": profile.rounding.value,
    }  # fmt: skip


def _mode(text: Text) -> Any:
    from schemas.terms import TaxMode  # noqa: PLC0415 - starts slowly

    return _one_of("--mode", text, TaxMode)


def _rounding(text: Text) -> Any:
    from schemas.terms import TaxRounding  # noqa: PLC0415 - starts slowly

    return _one_of("--rounding", text, TaxRounding)


def _one_of(option: str, text: Text, kinds: Any) -> Any:
    if text is None:
        return None
    known = {kind.value.replace(" ", "-"): kind for kind in kinds}
    if text not in known:
        raise ConfigError(f"{option} is {text}; it must be one of {', '.join(known)}.")
    return known[text]
