"""How an account is taxed, dated: mode, rounding, country, VAT id and what confirmed it.

A profile holds from a day until the next one that was entered; what was said before is kept beside
it (``tax_profile_past``). An account without one pays the seller's own rates on top of the prices.
Whether a VAT id is somebody's only its country can say: its number is checked here for form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.types.range import Range
from stdnum import get_cc_module
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from schemas.errors import ConfigError, RefusedError
from schemas.serial import to_json
from schemas.spans import Span
from schemas.terms import TaxMode, TaxProfile, TaxRounding
from sinks.audit import Act, record
from sinks.database import Connection

COUNTRY_LETTERS: Final = 2


def profile_at(conn: Connection, account: str, at: datetime) -> TaxProfile:
    """The profile of an instant; without one the account's country and VAT id, taxed as at home."""
    found = profiles_at(conn, [account], at)
    if account not in found:
        raise RefusedError(f"There is no account {account}.")
    return found[account]


def profiles_at(conn: Connection, accounts: Sequence[str], at: datetime) -> dict[str, TaxProfile]:
    """The same of many accounts; those that do not exist are left out."""
    rows = conn.execute(
        """
        SELECT a.account_id, a.country, a.vat_id,
               p.mode, p.rounding, p.country, p.vat_id, p.evidence, p.checked_at
        FROM account a
        LEFT JOIN tax_profile p ON p.account_id = a.account_id AND p.valid @> %s::timestamptz
        WHERE a.account_id = ANY(%s)
        """,
        (at, list(accounts)),
    )
    return {
        account: _profile(rest) if rest[0] else TaxProfile(country=country, vat_id=vat_id)
        for account, country, vat_id, *rest in rows
    }


def require_verified(profile: TaxProfile, account: str) -> None:
    """Raises RefusedError where the buyer shall owe the tax and nobody has confirmed who he is."""
    if profile.mode is TaxMode.REVERSE_CHARGE and not (profile.vat_id and profile.evidence):
        what = f"its VAT id {profile.vat_id} is not confirmed" if profile.vat_id else "no VAT id"
        raise RefusedError(
            f"Account {account} is taxed by reverse charge, but {what}: confirm it, for example"
            f" with VIES, and enter the answer with `rackmeter account tax set {account}"
            ' --evidence "…"`, or tax it with --mode exclusive.'
        )


def vat_id_of(country: str, text: str) -> str:
    """The VAT id as it is written on invoices. Raises ConfigError where none has that form."""
    if not text:
        return ""
    module: Any = get_cc_module(country.lower(), "vat")
    try:
        if country in _eu():
            number = eu_vat.compact(text)
            known = number if number[:COUNTRY_LETTERS].isalpha() else f"{_prefix(country)}{number}"
            if not known.startswith(_prefix(country)):
                raise ConfigError(f"The VAT id {text} is not one of {country}.")
            return str(eu_vat.validate(known))
        return text.strip() if module is None else str(module.validate(text))
    except ValidationError as error:
        raise ConfigError(f"The VAT id {text} cannot be one of {country}: {error}") from error


def _eu() -> set[str]:
    """Where VIES answers; Northern Ireland's ids are those of a country XI."""
    return {"GR" if code == "el" else code.upper() for code in eu_vat.MEMBER_STATES} | {"XI"}


def _prefix(country: str) -> str:
    return "EL" if country == "GR" else country


def set_profile(
    conn: Connection, account: str, profile: TaxProfile, since: datetime, by: str,
    entered_at: datetime,
) -> bool:  # fmt: skip
    """The account is taxed so from ``since`` until what was entered for later; False when it is."""
    with conn.transaction():
        found = conn.execute(
            "SELECT 1 FROM account WHERE account_id = %s FOR UPDATE", (account,)
        ).fetchone()
        if found is None:
            raise RefusedError(f"There is no account {account}: see `rackmeter account list`.")
        before = profile_at(conn, account, since)
        row = conn.execute(
            """
            SELECT upper(valid) FROM tax_profile
            WHERE account_id = %s AND valid @> %s::timestamptz
            """,
            (account, since),
        ).fetchone()
        if row is not None and before == profile:
            return False
        _end_before(conn, account, since)
        end = row[0] if row is not None else _next(conn, account, since)
        _insert(conn, account, profile, Range(since, end), by, entered_at)
        late = _invoiced(conn, account, Range(since, end))
        record(
            conn,
            Act(
                "account.tax", f"account/{account}", account, entered_at, actor=by,
                before=to_json(before), after={**to_json(profile), "since": since, **late},
                personal=True,
            ),
        )  # fmt: skip
    return True


def _invoiced(conn: Connection, account: str, valid: Range[datetime]) -> dict[str, list[str]]:
    """Invoices that were taxed by what was known before, for the audit trail: they stay."""
    rows = conn.execute(
        """
        SELECT number FROM invoice
        WHERE account_id = %s AND kind = 'invoice'
          AND period_end - interval '1 millisecond' <@ %s::tstzrange
        ORDER BY number
        """,
        (account, valid),
    )
    numbers = [number for (number,) in rows]
    return {"too_late_for": numbers} if numbers else {}


def _end_before(conn: Connection, account: str, since: datetime) -> None:
    """What holds at ``since`` ends there, or goes where it would begin there."""
    of = {"account": account, "since": since}
    conn.execute(
        "DELETE FROM tax_profile WHERE account_id = %(account)s AND lower(valid) = %(since)s", of
    )
    conn.execute(
        """
        UPDATE tax_profile SET valid = tstzrange(lower(valid), %(since)s)
        WHERE account_id = %(account)s AND valid @> %(since)s::timestamptz
        """,
        of,
    )


def _next(conn: Connection, account: str, since: datetime) -> datetime | None:
    row = conn.execute(
        "SELECT min(lower(valid)) FROM tax_profile WHERE account_id = %s AND lower(valid) > %s",
        (account, since),
    ).fetchone()
    return None if row is None else row[0]


def _insert(
    conn: Connection, account: str, profile: TaxProfile, valid: Range[datetime], by: str,
    entered_at: datetime,
) -> None:  # fmt: skip
    conn.execute(
        """
        INSERT INTO tax_profile (account_id, valid, mode, rounding, country, vat_id, evidence,
                                 checked_at, entered_by, entered_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            account, valid, profile.mode.value, profile.rounding.value, profile.country,
            profile.vat_id, profile.evidence, profile.checked_at, by, entered_at,
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dated:
    """A profile with the time in which it holds, and who said so when."""

    profile: TaxProfile
    valid: Span
    entered_by: str
    entered_at: datetime
    superseded_at: datetime | None
    """None: it is what is known now."""


def history(conn: Connection, account: str) -> list[Dated]:
    """All that was ever said of an account, what holds now first."""
    rows = conn.execute(
        """
        SELECT mode, rounding, country, vat_id, evidence, checked_at,
               lower(valid), upper(valid), entered_by, entered_at, superseded_at
        FROM (
            SELECT *, NULL::timestamptz AS superseded_at, NULL::bigint FROM tax_profile
            UNION ALL SELECT * FROM tax_profile_past
        ) p
        WHERE account_id = %s ORDER BY superseded_at DESC NULLS FIRST, lower(valid)
        """,
        (account,),
    )
    return [Dated(_profile(row[:6]), Span(row[6], row[7]), *row[8:]) for row in rows]


def _profile(row: Sequence[Any]) -> TaxProfile:
    mode, rounding, *rest = row
    return TaxProfile(TaxMode(mode), TaxRounding(rounding), *rest)
