"""Health: does the process answer, and can it do its work. Says nothing about where things are.

What is wrong goes to the log in a sentence; the answer has one word for each part, as the port may
be open to the world.
"""

import threading
import time
from collections.abc import Callable
from typing import Annotated, Final, Literal

import psycopg
import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from rackmeter.kafka import Admin, cluster
from rackmeter.settings import Settings
from schemas.errors import RackmeterError
from sinks.database import connect, require_schema

log = structlog.get_logger(__name__)
LOOK_SECONDS: Final = 2.0
"""A look is good for so long, and each part has so long to answer: probes cost nobody anything."""
State = Literal["ok", "failed"]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """Each part that is needed."""

    database: Annotated[State, Field(description="Answers, with the tables of this version.")]
    broker: Annotated[State, Field(description="Answers, and lets us in.")]


def routes(settings: Settings) -> APIRouter:
    """`/healthz` and `/readyz`."""
    router = APIRouter(tags=["health"])
    readiness = Readiness({"database": _database(settings), "broker": _broker(settings)})

    @router.get("/healthz", summary="The process answers")
    async def healthz() -> Alive:
        return Alive()

    @router.get(
        "/readyz",
        summary="Everything that is needed answers",
        responses={503: {"model": Ready, "description": "A part does not answer"}},
    )
    def readyz(response: Response) -> Ready:
        found = readiness.look()
        if "failed" in found.values():
            response.status_code = 503
        return Ready(**found)

    return router


class Readiness:
    """Looks at each part, at most every ``LOOK_SECONDS``, one look at a time."""

    def __init__(self, looks: dict[str, Callable[[], None]]) -> None:
        self._looks = looks
        self._lock = threading.Lock()
        self._found: dict[str, State] = {}
        self._until = 0.0

    def look(self) -> dict[str, State]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = {part: _state(part, look) for part, look in self._looks.items()}
                self._until = time.monotonic() + LOOK_SECONDS
            return self._found


def _state(part: str, look: Callable[[], None]) -> State:
    try:
        look()
    except (RackmeterError, psycopg.Error) as error:
        log.warning("not ready", part=part, why=str(error))
        return "failed"
    return "ok"


def _database(settings: Settings) -> Callable[[], None]:
    def look() -> None:
        url = settings.database_url or ""
        milliseconds = int(LOOK_SECONDS * 1000)
        name = "rackmeter ready"
        with connect(url, application_name=name, statement_timeout_ms=milliseconds) as conn:
            require_schema(conn)

    return look


def _broker(settings: Settings) -> Callable[[], None]:
    where = cluster(settings)
    return lambda: Admin(where).reach(LOOK_SECONDS)
