"""How fast invoices are written: documents to PDF/A with Factur-X, one process, no database.

    .venv/bin/python -m benchmarks.documents --json --documents 1000

Each document has other numbers and names, as a month has. Times are of the wall and of the CPU of
this process: on a machine that does other things only the latter says what a document takes.
"""

import argparse
import json
import os
import resource
import time
from dataclasses import replace
from importlib.metadata import version

from invoicing.digest import text
from invoicing.document import Document
from invoicing.documents.einvoice import einvoice
from invoicing.documents.render import pdf
from invoicing.documents.view import view
from tests.invoicing.papers import BUYER, paper

PROOF = "ab" * 32
SERVERS = (1, 3, 50, 500)
"""Two lines each: the last is an invoice of a thousand lines."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--documents", type=int, default=1000, help="of the most usual size")
    arguments.add_argument("--servers", type=int, default=1, help="on each of them")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    started = time.perf_counter()
    pdf(paper(1), text(paper(1)), PROOF)
    result = {
        "cold_ms": round((time.perf_counter() - started) * 1000, 1),
        "many": many(options.documents, options.servers),
        "sizes": [size(servers) for servers in SERVERS],
        "rss_mb_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "typst": version("typst"),
    }
    print(json.dumps(result, indent=2) if options.json else said(result))


def many(count: int, servers: int) -> dict[str, object]:
    """A month's invoices one after the other, from the document to the bytes of the PDF."""
    like = paper(servers)
    papers = [other(like, number) for number in range(count)]
    wall, cpu = time.perf_counter(), time.process_time()
    size = sum(len(pdf(one, text(one), PROOF)) for one in papers)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "documents": count, "servers": servers, "seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2), "ms_each": round(wall / count * 1000, 2),
        "cpu_ms_each": round(cpu / count * 1000, 2), "kb_each": size // count // 1024,
    }  # fmt: skip


def other(like: Document, number: int) -> Document:
    name = f"Customer {number} GmbH"
    return replace(like, number=f"RM-2026-{number:06d}", buyer=replace(BUYER, name=name))


def size(servers: int) -> dict[str, object]:
    """One document, the best of three, and what of it is not typst."""
    document = paper(servers)
    body = text(document)
    steps = {
        "json_ms": lambda: text(document),
        "view_ms": lambda: view(document, PROOF),
        "einvoice_ms": lambda: einvoice(document),
        "pdf_ms": lambda: pdf(other(document, time.perf_counter_ns() % 10**6), body, PROOF),
    }
    return {"lines": len(document.lines), **{name: best(step) for name, step in steps.items()}}


def best(step: object, times: int = 3) -> float:
    assert callable(step)
    spent = []
    for _ in range(times):
        before = time.process_time()
        step()
        spent.append((time.process_time() - before) * 1000)
    return round(min(spent), 2)


def said(result: dict[str, object]) -> str:
    many_ = result["many"]
    assert isinstance(many_, dict)
    return (
        f"{many_['documents']} documents in {many_['seconds']} s ({many_['ms_each']} ms each,"
        f" {many_['cpu_ms_each']} ms of CPU), {many_['kb_each']} kB each"
    )


if __name__ == "__main__":
    main()
