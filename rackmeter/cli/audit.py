"""`rackmeter audit`: who did what and why, the chain over it, and the signatures that keep it."""

import json as jsons
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rackmeter.cli.audit_words import notes, shown, summary, told
from rackmeter.cli.options import DataDir, Json, example, instant
from rackmeter.cli.output import document, lines, note, table
from rackmeter.errors import ConfigError, DifferenceError

if TYPE_CHECKING:
    from rackmeter.audit_trail import Outcome

Text = str | None
File = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Signed heads; RACKMETER_AUDIT_HEADS by default. Repeat it."),
]
Public = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY", help="Believe this public key; else those of the key file."),
]


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    audit = typer.Typer(help="The audit trail: list, verify, sign, export.", no_args_is_help=True)
    audit.command(
        "list",
        epilog=example(
            "audit list --subject account/acme --since 2026-11-01",
            "audit list --action budget. --actor ann@desk --json",
            "audit list --before 4711   # the page after the one that ended with 4711",
        ),
    )(list_acts)
    audit.command("verify", epilog=example(
        "audit verify", "audit verify --heads /mnt/usb/audit-heads.jsonl --public 'jX3…='",
        "audit verify --export acts.jsonl",
    ))(verify)  # fmt: skip
    audit.command("head", epilog=example("audit head --json"))(head)
    audit.command("sign", epilog=example(
        "audit sign   # daily, by a timer",
        "audit sign --recovered 'restored the backup of 21 November'",
    ))(sign)  # fmt: skip
    audit.command("key", epilog=example("audit key --to /etc/rackmeter/audit.key", "audit key"))(
        key
    )
    audit.command("export", epilog=example("audit export --to acts.jsonl --since 2026-01-01"))(
        export
    )
    app.add_typer(audit, name="audit")


def list_acts(
    *,
    subject: Annotated[
        Text, typer.Option(metavar="KIND/ID", help="As account/acme; a kind alone is account/.")
    ] = None,
    account: Annotated[Text, typer.Option(metavar="ACCOUNT", help="Everything of theirs.")] = None,
    action: Annotated[Text, typer.Option(metavar="NOUN.VERB", help="Or how it begins.")] = None,
    by: Annotated[Text, typer.Option(metavar="NAME", help="Who acted.")] = None,
    since: Annotated[
        Text, typer.Option(metavar="TIME", help="Only what was done since; a day is UTC's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="A page.")] = 50,
    before: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Older than this one.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Show acts, newest first. Run it as the owner of the tables."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.audit import Wanted, newest  # noqa: PLC0415

    at = None if since is None else instant(since)
    with ledger(data_dir) as conn:
        found = [shown(row) for row in newest(
            conn, Wanted(subject, account, action, by, at, before), limit
        )]  # fmt: skip
    more = found[-1]["number"] if len(found) == limit else None
    if json:
        document({"acts": found, "before": more})
        return
    table(
        ("act", "at (UTC)", "action", "subject", "by", "why", "what"),
        [
            (a["number"], f"{a['at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}", a["action"],
             a["subject"], a["actor"], a["reason"] or "", summary(a))
            for a in found
        ],
    )  # fmt: skip
    if more or not found:
        note(f"more: --before {more}" if more else "nothing of that was done")


def verify(
    heads: File = None,
    public: Public = None,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `audit export` wrote, no database.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Verify every act, the chain over them and its signed heads. Exit code 3 if anything differs.

    Found and named is a row that was edited, dropped, exchanged or put in. Only heads that were
    signed, in a file that the database's owner cannot change, know of an end that was cut off or of
    a chain that was written anew.
    """
    from rackmeter.audit_trail import verify_database, verify_export  # noqa: PLC0415
    from rackmeter.cli.audit_metrics import tell  # noqa: PLC0415
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    if export is not None:
        done = verify_export(settings, export, heads or [], public)
    else:
        with ledger(data_dir) as conn:
            done = verify_database(settings, conn, heads, public)
        if heads is None:
            tell(settings.metrics_dir, done, datetime.now(UTC))
    _say(done, json=json)


def head(data_dir: DataDir = None, json: Json = False) -> None:
    """Show the chain's end and what was signed last."""
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415 - starts slowly
    from sinks.audit import tip  # noqa: PLC0415
    from sinks.audit_heads import stored  # noqa: PLC0415

    with ledger(data_dir) as conn:
        number, digest = tip(conn)
        signed = stored(conn)
    last = jsons.loads(signed[-1]) if signed else None
    if json:
        document({"number": number, "digest": digest, "heads": len(signed), "signed": last})
        return
    lines([f"act     {number}", f"digest  {digest}"])
    if last is None:
        note("no head was signed yet: `rackmeter audit key --to FILE`, then `audit sign` daily")
    else:
        lines([f"signed  act {last['number']} at {last['at']} by {last['key']}"])


def sign(
    recovered: Annotated[
        Text,
        typer.Option(metavar="WHY", help="The database went back, so acts are lost: say why."),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Verify the trail and sign its end, in the database and in the file of heads.

    Exit code 3, and no signature, where anything differs. After a restore the heads know acts that
    the database has lost: --recovered signs that this is so, for everybody to see.
    """
    from rackmeter.audit_trail import sign_head  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.acts import myself  # noqa: PLC0415
    from rackmeter.cli.audit_metrics import tell  # noqa: PLC0415
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415

    settings, now = load_settings(data_dir=data_dir), datetime.now(UTC)
    with ledger(data_dir) as conn:
        done, line = sign_head(settings, conn, now, recovered or "", myself())
    tell(settings.metrics_dir, done, now)
    if line is None:
        _say(done, json=json)
    elif json:
        document(jsons.loads(line))
    else:
        lines([line])


def key(
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Make a new one there, mode 600.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the public keys in force, or make a key. What it is to sign is `audit sign`."""
    from rackmeter.key_files import load_signer, write_new  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from sinks.audit_heads import Signer, new_key, parse_keys  # noqa: PLC0415

    if to is not None:
        made = new_key()
        write_new(to, made + "\n")
        signer: Signer | None = Signer(parse_keys(made, str(to)))
    else:
        signer = load_signer(load_settings())
    if signer is None:
        raise ConfigError("There is no audit key: `rackmeter audit key --to FILE` makes one, then"
                          " set RACKMETER_AUDIT_KEY_FILE.")  # fmt: skip
    if json:
        document({"public": signer.public, "file": None if to is None else str(to.absolute())})
        return
    lines(signer.public)
    if to is not None:
        note(f"{to.absolute()} signs; give the public key above to whoever verifies")


def export(
    to: Annotated[Path, typer.Option(metavar="FILE", help="One act a line, as JSON.")],
    personal: Annotated[
        bool, typer.Option("--personal", help="What is personal too; else only its digests.")
    ] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write the whole trail into a file that `audit verify --export` checks without the database.

    What an erasure takes from the database stays in the files that were written before.
    """
    from rackmeter.audit_trail import export_lines  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.ledger import ledger  # noqa: PLC0415
    from rackmeter.files import replacing  # noqa: PLC0415

    count = 0
    with ledger(data_dir) as conn, replacing(to) as file:
        for line in export_lines(conn, personal=personal):
            file.write(line.encode() + b"\n")
            count += 1
    if json:
        document({"file": str(to.absolute()), "acts": count - 1})
    else:
        lines([f"{count - 1} acts in {to}"])


def _say(done: "Outcome", *, json: bool) -> None:
    found = done.verified
    if json:
        document(told(done))
        raise typer.Exit(DifferenceError.exit_code if found.findings else 0)
    for text in notes(done):
        note(text)
    lines(finding.what for finding in found.findings)
    if found.findings:
        raise DifferenceError(f"The audit trail is not what was entered: {found.findings[0]}.")
    lines([f"{found.acts} acts are as they were entered, up to {found.digest[:16]}…"])
