"""`rackmeter dev`: the embedded servers in the foreground."""

import sys
import time
from typing import Annotated

import typer

from rackmeter.cli.options import DataDir, Json, example
from rackmeter.cli.output import document, lines, note

WATCH_SECONDS = 0.5


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    app.command(
        "dev", epilog=example("dev", "dev --worker   # and a worker, in the same terminal")
    )(dev)


def dev(
    worker: Annotated[bool, typer.Option("--worker", help="Run a worker as well.")] = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Run the embedded PostgreSQL and broker until Ctrl-C.

    Tables and topics are made. The database keeps its data from one start to the next, the broker
    does not. Other commands find both by the data folder.
    """
    from contextlib import ExitStack, suppress  # noqa: PLC0415

    from rackmeter.cli.processes import Worker  # noqa: PLC0415 - starts slowly
    from rackmeter.cli.terminate import interruptible  # noqa: PLC0415
    from rackmeter.kafka import cluster  # noqa: PLC0415
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from rackmeter.stack import Stack  # noqa: PLC0415
    from rackmeter.topics import create_topics  # noqa: PLC0415
    from sinks.database import migrate  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    with ExitStack() as running, suppress(KeyboardInterrupt), interruptible():
        stack = running.enter_context(Stack.from_settings(settings))
        migrate(stack.database_url)
        names = (settings.topic_reports, settings.topic_changed, settings.topic_dead)
        create_topics(cluster(settings, stack.bootstrap), dict.fromkeys(names, settings.partitions))
        # The broker of the last start is gone, and with it the topic that the ledger knows.
        own = Worker(stack, settings.data_dir, accept_new_topic=True) if worker else None
        if own is not None:
            running.enter_context(own)
        _show(
            {
                "RACKMETER_DATABASE_URL": stack.database_url,
                "RACKMETER_KAFKA_BOOTSTRAP": stack.bootstrap,
                "RACKMETER_DATA_DIR": str(settings.data_dir),
            },
            json=json,
        )
        while True:
            time.sleep(WATCH_SECONDS)
            if own is not None:
                own.check()
    note("everything is stopped")


def _show(variables: dict[str, str], *, json: bool) -> None:
    if json:
        document(variables)
    else:
        lines(f"{name}={value}" for name, value in variables.items())
    sys.stdout.flush()
    note("ready; Ctrl-C stops everything")
