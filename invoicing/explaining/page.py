"""An explanation as one HTML page: no script, nothing from elsewhere, prints whole. Pure.

Every word of the ledger is escaped. Long lists are closed until somebody opens them, and open on
paper; colours follow the reader's light or dark.
"""

import re
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Final

from invoicing.explaining.chart import svg
from invoicing.explaining.tree import Explanation, Node

STYLE: Final = (files("invoicing.explaining") / "page.css").read_text(encoding="utf-8")
MANY: Final = 24
"""Children beyond which a figure is closed at first."""
CLOSED: Final = frozenset({"readings", "gaps"})
"""Figures that are closed at first: evidence that few will read."""

LARGE: Final = re.compile(r"(?<![\w.:/-])\d{6,}(?![\w:/-])")
"""Whole numbers in a sentence, not parts of names."""


def page(found: Explanation) -> str:
    """The whole document as text."""
    title = escape(found.tree.name)
    agrees = "differs" if found.differences else "agrees"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head>\n<body><main>"
        f'<header class="{agrees}"><h1>{title}</h1><p class="sum">{escape(found.tree.value)}</p>'
        f"{_notes(found.tree)}</header>\n"
        f"{''.join(_nodes(found.tree))}</main></body></html>\n"
    )


def _nodes(parent: Node) -> Iterator[str]:
    yield "<ul>"
    for node in parent.children:
        yield f"<li>{''.join(_node(node))}</li>"
    yield "</ul>\n"


def _node(node: Node) -> Iterator[str]:
    value = LARGE.sub(_grouped, escape(node.value))
    figure = f"<b>{escape(node.name)}</b> <span>{value}</span>"
    if not node.children and node.chart is None:
        yield f'<div class="figure">{figure}</div>{_notes(node)}'
        return
    closed = len(node.children) > MANY or node.name in CLOSED
    shown = "" if closed and node.chart is None else " open"
    yield f'<details{shown}><summary class="figure">{figure}</summary>{_notes(node)}'
    if node.chart is not None:
        yield f"<figure>{svg(node.chart)}<figcaption>{escape(node.chart.caption)}</figcaption>"
        yield "</figure>"
    if node.children:
        yield from _nodes(node)
    yield "</details>"


def _grouped(found: re.Match[str]) -> str:
    return f"{int(found[0]):,}".replace(",", "\u202f")


def _notes(node: Node) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in node.notes)
