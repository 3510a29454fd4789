"""`rackmeter agent`: listed here, run by agents.main, which reads its own arguments."""

from typing import Annotated

import typer

from agents.main import main


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    app.command(
        "agent",
        help="Meter this machine: run, sample, status; enroll, rotate.",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(agent)


def agent(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Hand everything over."""
    raise typer.Exit(main(arguments or []))
