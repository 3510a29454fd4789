"""Finding prices: the files that come with rackmeter, a file, or a published version."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from pipeline.catalog import Catalog, load
from pipeline.contract import base_of, is_contract, is_version, load_contract
from rackmeter.errors import ConfigError
from schemas.terms import Commitment, Discount
from sinks.database import Connection
from sinks.versions import published

DEMO = "demo.toml"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a file offers; a contract has terms too."""

    catalog: Catalog
    discounts: tuple[Discount, ...] = ()
    commitments: tuple[Commitment, ...] = ()


def offer(file: Path, base: Path | None = None, timezone: str = "") -> Offer:
    """A catalogue, or a contract with its base: ``base``, or the file beside it of that version.

    A contract's days are those of ``timezone``; the seller's if not said.
    """
    text = text_of(file)
    if not is_contract(text):
        return Offer(load(text, str(file)))
    beside = base or _beside(file, base_of(text, str(file)))
    contract = load_contract(text, str(file), text_of(beside), timezone)
    return Offer(contract.catalog, contract.discounts, contract.commitments)


def text_of(file: Path) -> str:
    """The text of a file; one sentence where it has none."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"The file {file} cannot be read: {reason}.") from error


def catalogue(
    conn: Connection, named: str | None, scope: str = "", at: datetime | None = None
) -> Catalog:
    """A file, a published version, the scope's contract at ``at``, or what is in force then."""
    if named is not None and Path(named).is_file():
        return offer(Path(named)).catalog
    then = at or datetime.now(UTC)
    version = named or _agreed(conn, scope, then) or _in_force(conn, then)
    found = published(conn, version)
    if found is None:
        raise ConfigError(f"{version} is neither a file nor a published catalogue.")
    if named and scope and found.scope not in ("", scope):
        raise ConfigError(f"{version} is the contract of {found.scope}, not of {scope}.")
    return found


def shipped(name: str) -> str:
    """The text of a catalogue that comes with rackmeter: below deploy/, linked into the package."""
    return files("rackmeter").joinpath("catalogs", name).read_text(encoding="utf-8")


def _beside(file: Path, version: str) -> Path:
    for other in sorted(file.parent.glob("*.toml")):
        if other == file or not other.is_file():
            continue
        if is_version(other.read_text(encoding="utf-8", errors="replace"), version):
            return other
    raise ConfigError(
        f"{file} rests on {version}, and no catalogue beside it has that version:"
        " name its file with --base."
    )


def _agreed(conn: Connection, scope: str, at: datetime) -> str | None:
    """The contract of the scope that is in force then."""
    row = conn.execute(
        "SELECT version FROM contract_known() WHERE scope_id = %s AND valid @> %s", (scope, at)
    ).fetchone()
    return None if row is None else str(row[0])


def _in_force(conn: Connection, at: datetime) -> str:
    """The newest catalogue that is in force then, of two from one instant the one applied last."""
    rows = conn.execute(
        """
        SELECT version, effective FROM catalog_version v
        WHERE NOT EXISTS (SELECT FROM contract c WHERE c.version = v.version)
        ORDER BY effective DESC, applied_at DESC, version DESC
        """
    ).fetchall()
    if not rows:
        raise ConfigError("No catalogue is published yet: `rackmeter catalog apply FILE`.")
    found = next((version for version, effective in rows if effective <= at), None)
    if found is None:
        known = ", ".join(f"{version} from {_utc(effective)}" for version, effective in rows[::-1])
        raise ConfigError(
            f"No catalogue is in force at {_utc(at)}; there is {known}: give a time in one of"
            " them, or name one with --catalog VERSION."
        )
    return str(found)


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
