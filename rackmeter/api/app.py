"""The application: its routes, what bounds a request, and how a mistake is answered.

Every answer is JSON; one that is no success is ``{"detail": "one sentence"}`` and never repeats
what was sent, which may be a secret.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from rackmeter import installed_version
from rackmeter.api import enroll, health, payments
from rackmeter.api.bounds import BoundedBodies
from rackmeter.api.observed import Observed
from rackmeter.notify import notify
from rackmeter.settings import Settings
from sinks.vault import Vault

THREADS_MAX: Final = 8
"""Each request that asks the database has a connection of its own for some milliseconds."""


def application(settings: Settings, vault: Vault) -> FastAPI:
    """Everything that is served; tells systemd once it is."""

    @asynccontextmanager
    async def serving(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS_MAX
        notify("READY=1")
        yield
        notify("STOPPING=1")

    api = FastAPI(
        title="rackmeter",
        version=installed_version(),
        description="Health of an installation, enrolment of its servers, events of gateways.",
        docs_url=None,
        redoc_url=None,
        lifespan=serving,
    )
    api.include_router(health.routes(settings))
    api.include_router(enroll.routes(settings, vault))
    api.include_router(payments.routes(settings))
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_middleware(BoundedBodies)
    api.add_middleware(Observed)
    return api


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """The first mistake in one sentence, without the value."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    return JSONResponse({"detail": f"{where}: {first['msg']}"}, 422)
