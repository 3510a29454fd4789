"""The tree of commands: nouns with their verbs, and what `rackmeter --help` says below them."""

from typing import Any

import typer

from rackmeter.cli import (
    account,
    agent,
    alert,
    archive,
    audit,
    catalog,
    collect,
    db,
    demo,
    dev,
    dlq,
    doctor,
    fleet,
    invoice,
    item,
    journal,
    ledger_rebuild,
    master_key,
    payment,
    rating,
    reconcile,
    run,
    server,
    topics,
    usage,
    wallet,
)
from rackmeter.cli.acts import give_options

EPILOGUE = """\b
exit codes:
    0  done
    1  failed
    2  usage or configuration: repeating it does not help
    3  a difference was found
    4  a dependency is unreachable: try again
    5  refused: a lock is held, a period is open, a worker was fenced
  130  interrupted

\b
Everywhere: --json prints one document on stdout, progress and logs go to stderr,
--debug shows the traceback of an unexpected failure. Settings come from the
environment (RACKMETER_...) or rackmeter.toml.

\b
examples:
  rackmeter demo
  rackmeter doctor
  rackmeter agent sample
"""


def build() -> typer.Typer:
    """Every command."""
    app = typer.Typer(
        help="Usage metering and billing for server rental.",
        epilog=EPILOGUE,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    nouns = (
        demo,
        dev,
        doctor,
        agent,
        collect,
        run,
        db,
        topics,
        catalog,
        server,
        account,
        alert,
        item,
        usage,
        rating,
        ledger_rebuild,
        archive,
        dlq,
        invoice,
        payment,
        wallet,
        journal,
        reconcile,
        audit,
        fleet,
        master_key,
    )
    for noun in nouns:
        noun.add(app)
    give_options(app)
    return app


def command() -> Any:
    """The command that parses and runs everything."""
    return typer.main.get_command(build())
