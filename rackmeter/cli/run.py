"""`rackmeter run`: the long-running processes."""

from typing import TYPE_CHECKING

import typer

from rackmeter.cli.options import DataDir, example
from rackmeter.cli.output import note

if TYPE_CHECKING:
    from rackmeter.settings import Settings


def add(app: typer.Typer) -> None:
    """Put the noun into the tree."""
    runs = typer.Typer(help="Long-running processes: worker, api.", no_args_is_help=True)
    runs.command(
        "worker",
        epilog=example(
            "run worker",
            "run worker   # with RACKMETER_DATABASE_URL and RACKMETER_KAFKA_BOOTSTRAP set",
        ),
    )(worker)
    runs.command(
        "api",
        epilog=example(
            "run api",
            "run api   # with RACKMETER_API_HOST=0.0.0.0 and RACKMETER_API_CERT_FILE set",
        ),
    )(api)
    app.add_typer(runs, name="run")


def worker(data_dir: DataDir = None) -> None:
    """Meter reports, rate usage and send alerts until told to stop.

    Start as many as there are partitions to share; each may be killed at any moment.
    """
    from rackmeter.worker import run_worker  # noqa: PLC0415 - starts slowly

    run_worker(_prepared(data_dir))
    note("the worker has stopped")


def api(data_dir: DataDir = None) -> None:
    """Serve health, the enrolment of servers and Stripe's events until told to stop.

    GET /healthz and /readyz, POST /v1/agents/enroll and /payments/stripe, GET /openapi.json, on
    RACKMETER_API_HOST and RACKMETER_API_PORT (127.0.0.1:8080). Keys are given over TLS only: set
    RACKMETER_API_CERT_FILE and RACKMETER_API_KEY_FILE, or put a proxy before it and name that in
    RACKMETER_API_TRUSTED_PROXIES. Several may run.
    """
    from rackmeter.api.serve import run_api  # noqa: PLC0415 - starts slowly

    run_api(_prepared(data_dir))
    note("the API has stopped")


def _prepared(data_dir: DataDir) -> "Settings":
    """Logging set up; the settings, with a running stack's servers where none are set."""
    from rackmeter.log import configure_logging  # noqa: PLC0415 - starts slowly
    from rackmeter.settings import load_settings  # noqa: PLC0415
    from rackmeter.stack_folder import running  # noqa: PLC0415

    settings = load_settings(data_dir=data_dir)
    stack = running(settings.data_dir)
    if stack is not None:
        settings = load_settings(
            data_dir=data_dir,
            database_url=settings.database_url or stack.database_url,
            kafka_bootstrap=settings.kafka_bootstrap or stack.bootstrap,
        )
    configure_logging(level=settings.log_level)
    return settings
