"""Which commands act on what is audited, and the options that all of these have: --actor, --why.

A command that is in neither table fails `tests/rackmeter/test_audit_commands.py`: whoever adds one
says here what its row in the audit trail is called, and the test runs it and looks for that row.
"""

import getpass
import socket
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Final

import typer

from sinks.actor import AMBIENT

ACTS: Final = {
    "account add": "account.add",
    "account billed": "account.billed",
    "account budget drop": "budget.drop",
    "account budget set": "budget.set",
    "account mail": "account.mail",
    "account tax set": "account.tax",
    "account webhook": "account.webhook",
    "alert resend": "alert.resend",
    "audit sign": "audit.recovered",
    "account erase": "account.erase",
    "catalog apply": "catalog.apply",
    "db login": "login.make",
    "db recovered": "ledger.recovered",
    "db restore": "ledger.restore",
    "dlq retry": "letter.retry",
    "invoice close": "invoice.issue",
    "invoice reenter": "invoice.reenter",
    "item addon add": "item.addon-add",
    "item addon drop": "item.addon-drop",
    "item end": "item.end",
    "item hand-over": "item.hand-over",
    "item rent": "item.rent",
    "item reopen": "item.reopen",
    "item resize": "item.resize",
    "item resume": "item.resume",
    "item suspend": "item.suspend",
    "item swap": "item.swap",
    "journal receive": "journal.receive",
    "journal write-off": "journal.write-off",
    "ledger swap": "ledger.swap",
    "master-key rewrap": "secrets.rewrap",
    "payment collect": "payment.attempt",
    "payment method add": "payment.method",
    "payment received": "payment.received",
    "payment refund": "payment.refund",
    "payment terminate": "account.terminate",
    "server add": "server.add",
    "server enroll-token": "server.token",
    "server revoke-key": "server.revoke-key",
    "server rotate-key": "server.rotate-key",
    "topics drained": "topic.drained",
    "wallet alert": "wallet.alert",
    "wallet expire": "wallet.expire",
    "wallet grant": "wallet.grant",
}
"""Command → the action that it leaves in the audit trail."""

NO_ACTS: Final = {
    "archive": "writes the archive of raw reports only",
    "agent": "runs on servers, without the database",
    "collect": "sends signed reports, without the database",
    "demo": "makes a ledger of its own",
    "dev": "makes a ledger of its own",
    "fleet": "makes a topic of its own",
    "doctor": "reads",
    "run": "services: what they enter names its own actor",
    "db backup": "reads",
    "db convert": "moves windows as they are, compared day by day",
    "db maintain": "keeps to the settings of retention",
    "db migrate": "changes tables, no row that anybody was billed for",
    "db roles": "reads",
    "db verify": "reads",
    "topics create": "Kafka's own",
    "topics show": "reads",
    "usage": "reads; a replay is metered as any report, by its signature",
    "reconcile": "compares, and leaves what it found in files",
    "rating rebuild": "computes again what timelines and usage say",
    "ledger compare": "writes the rebuilt twin only",
    "ledger discard": "writes the rebuilt twin only",
    "ledger rebuild": "writes the rebuilt twin only",
    "ledger snapshot": "copies heads as they are",
    "ledger status": "reads",
    "account budget list": "reads",
    "account list": "reads",
    "account tax show": "reads",
    "alert list": "reads",
    "alert show": "reads",
    "audit export": "reads",
    "audit head": "reads",
    "audit key": "makes a file",
    "audit list": "reads",
    "audit verify": "reads",
    "catalog check": "reads",
    "catalog diff": "reads",
    "catalog price": "reads",
    "catalog schema": "reads",
    "catalog show": "reads",
    "dlq list": "reads",
    "dlq show": "reads",
    "invoice bundle": "reads",
    "invoice explain": "reads",
    "invoice export": "reads",
    "invoice list": "reads",
    "invoice outside": "reads",
    "invoice preview": "reads",
    "invoice rerate": "reads",
    "invoice show": "reads",
    "invoice verify": "reads",
    "journal aged": "reads",
    "journal show": "reads",
    "journal trial-balance": "reads",
    "item list": "reads",
    "item show": "reads",
    "master-key list": "reads",
    "master-key new": "makes a file",
    "payment list": "reads",
    "payment method list": "reads",
    "payment show": "reads",
    "payment standing": "reads",
    "server list": "reads",
    "wallet show": "reads",
}
"""Command, or noun with all of its verbs → why it leaves no row."""


def myself() -> str:
    """Who acts: --actor, RACKMETER_ACTOR, or who is logged in here."""
    from rackmeter.settings import load_settings  # noqa: PLC0415 - starts slowly

    return AMBIENT.actor or load_settings().actor or f"{getpass.getuser()}@{socket.gethostname()}"


def give_options(app: typer.Typer, path: str = "") -> None:
    """Adds --actor, and --why where a command has no such option, to every command of ACTS."""
    for group in app.registered_groups:
        assert group.typer_instance is not None
        give_options(group.typer_instance, f"{path} {group.name}".strip())
    for command in app.registered_commands:
        if f"{path} {command.name}" in ACTS and command.callback is not None:
            command.callback = _acting(command.callback)


def _acting(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options after its own, which it does not see."""
    own = signature(command)
    shared = [one for one in signature(_set).parameters.values() if one.name not in own.parameters]

    @wraps(command)
    def run(**given: Any) -> None:
        _set(**{one.name: given.pop(one.name) for one in shared})
        command(**given)

    parameters = [*own.parameters.values(), *shared]
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=sorted(parameters, key=lambda one: one.kind)
    )
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _set(
    *,
    actor: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who acts; else RACKMETER_ACTOR, or who is logged in."),
    ] = None,
    why: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The reason, for the audit trail.")
    ] = None,
) -> None:
    AMBIENT.actor = actor or ""
    AMBIENT.actor = myself()
    AMBIENT.reason = why or ""
