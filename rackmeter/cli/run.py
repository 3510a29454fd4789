"""`rackmeter run`: the long-running processes."""

import typer

from rackmeter.cli.options import DataDir, example
from rackmeter.cli.output import note


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    runs = typer.Typer(help="Long-running processes: worker.", no_args_is_help=True)
    runs.command(
        "worker",
        epilog=example(
            "run worker",
            "run worker   # with RACKMETER_DATABASE_URL and RACKMETER_KAFKA_BOOTSTRAP set",
        ),
    )(worker)
    app.add_typer(runs, name="run")


def worker(data_dir: DataDir = None) -> None:
    """Meter reports, rate usage and send alerts until told to stop.

    Start as many as there are partitions to share; each may be killed at any moment.
    """
    from rackmeter.log import configure_logging  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415
    from rackmeter.worker import run_worker  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    stack = running(settings.data_dir)
    if stack is not None:
        settings = load_settings(
            data_dir=data_dir,
            database_url=settings.database_url or stack.database_url,
            kafka_bootstrap=settings.kafka_bootstrap or stack.bootstrap,
        )
    configure_logging(level=settings.log_level)
    run_worker(settings)
    note("the worker has stopped")
