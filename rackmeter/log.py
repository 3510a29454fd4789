"""Logs as data, on stderr: stdout belongs to what a command was asked for.

A terminal gets aligned, coloured lines; anything else gets one JSON object a line. Third-party
loggers (faust, aiokafka, alembic) go the same way, from WARNING up.
"""

import logging
import os
import sys
from typing import TextIO

import structlog
from structlog.typing import Processor

_COMMON: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
)


def configure_logging(
    *, level: str = "info", stream: TextIO | None = None, json: bool | None = None
) -> None:
    """Set logging up for this process; calling it again replaces the set-up."""
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_COMMON, structlog.processors.format_exc_info, _renderer(as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _configure_third_party(out, as_json, threshold)


def _renderer(as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)


def _configure_third_party(out: TextIO, as_json: bool, threshold: int) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _renderer(as_json),
            ],
            foreign_pre_chain=[*_COMMON, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.WARNING))
