"""`POST /v1/agents/enroll`: a one-time token in, a server's signing key and its settings out, once.

Over TLS only, or from this machine itself. An address that was wrong too often waits; those that
are right are never counted. A token that is not ours is 401, whatever is wrong with it; only who
holds its secret half is told that it is spent (410).
"""

import ipaddress
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import psycopg
import structlog
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from rackmeter.api.bounds import Mistakes
from rackmeter.cli.keys import new_key
from rackmeter.settings import Settings
from schemas.envelope import Key
from schemas.errors import DependencyError, RackmeterError, RefusedError
from sinks.database import connect
from sinks.enrolment import SpentTokenError, UnknownTokenError, redeem
from sinks.vault import Vault

log = structlog.get_logger(__name__)
MISTAKES_BURST: Final = 10
MISTAKES_SECONDS: Final = 6.0
"""Ten wrong tokens at once, then ten a minute: of 2²⁵⁶ that finds none, and spares the log."""
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "The body cannot be read"},
    401: {"description": "No such token"},
    403: {"description": "The request did not come over TLS"},
    409: {"description": "The server was registered in another way since the token was made"},
    410: {"description": "The token is used, revoked or expired"},
    413: {"description": "The body is too long"},
    422: {"description": "The body is not what is described here"},
    429: {"description": "Too many wrong tokens from this address; see Retry-After"},
    503: {"description": "The ledger does not answer: try again, the token is as it was"},
}


class Enrolment(BaseModel):
    """What a server sends."""

    model_config = ConfigDict(extra="forbid")
    token: Annotated[str, Field(max_length=100, description="As `server enroll-token` showed it.")]


class Enrolled(BaseModel):
    """What a server gets, this once: the key file's fields and the settings of its agent."""

    server: str
    kid: str
    secret: Annotated[str, Field(description="Of the signing key, hex; keep it in a file, 600.")]
    bootstrap: Annotated[str, Field(description="Brokers, host:port, several with commas.")]
    security_protocol: Annotated[str, Field(description="How the brokers are spoken to.")]
    topic: str
    environment: Annotated[str, Field(description="Part of every signature.")]


def routes(settings: Settings, vault: Vault) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/v1/agents", tags=["enrolment"])
    mistakes = Mistakes(MISTAKES_BURST, MISTAKES_SECONDS)

    @router.post(
        "/enroll", summary="Exchange a token for a signing key", status_code=201, responses=ANSWERS
    )
    def enroll(wanted: Enrolment, request: Request, response: Response) -> Enrolled:
        address = request.client.host if request.client else "unknown"
        if request.url.scheme != "https" and not _is_loopback(address):
            raise HTTPException(403, "A key is given over TLS only: use https.")
        wait = mistakes.wait(address, time.monotonic())
        if wait > 0:
            seconds = str(math.ceil(wait))
            raise HTTPException(429, "Too many wrong tokens.", {"Retry-After": seconds})
        try:
            key = _fetch(settings, vault, wanted.token, address)
        except (UnknownTokenError, SpentTokenError) as error:
            mistakes.count(address, time.monotonic())
            log.warning("enrolment refused", address=address, why=str(error))
            raise _refusal(error) from None
        except (RackmeterError, psycopg.Error) as error:
            log.error("enrolment failed", address=address, why=str(error))
            raise _refusal(error) from None
        log.info("enrolled", server=key.server, kid=key.kid, address=address)
        response.headers["Cache-Control"] = "no-store"
        return _enrolled(settings, key)

    return router


def _fetch(settings: Settings, vault: Vault, token: str, address: str) -> Key:
    url = settings.database_url or ""
    with connect(url, autocommit=True, application_name="rackmeter enroll") as conn:
        return redeem(conn, vault, token, new_key, address=address, now=datetime.now(UTC))


def _enrolled(settings: Settings, key: Key) -> Enrolled:
    return Enrolled(
        server=key.server,
        kid=key.kid,
        secret=key.secret.hex(),
        bootstrap=settings.enroll_bootstrap or settings.kafka_bootstrap or "",
        security_protocol=settings.enroll_security_protocol or settings.kafka_security_protocol,
        topic=settings.topic_reports,
        environment=settings.environment,
    )


_REFUSALS: Final[tuple[tuple[type[Exception], int, Callable[[Exception], str]], ...]] = (
    (UnknownTokenError, 401, lambda _: "There is no such token."),
    (SpentTokenError, 410, lambda error: f"{error} Ask for a new one."),
    (RefusedError, 409, lambda _: "The server has a key by now: ask for a token that renews it."),
    (DependencyError, 503, lambda _: "The ledger does not answer: try again."),
    (psycopg.Error, 503, lambda _: "The ledger does not answer: try again."),
)


def _refusal(error: Exception) -> HTTPException:
    for kind, status, sentence in _REFUSALS:
        if isinstance(error, kind):
            return HTTPException(status, sentence(error))
    return HTTPException(500, "The installation is not set up right: see its log.")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
