"""`rackmeter invoice`: placeholder."""

import typer


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
