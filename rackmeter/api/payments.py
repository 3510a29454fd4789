"""`POST /payments/stripe`: what Stripe tells us, taken at its word only that something changed.

The signature is checked over the bytes as they came; then the object is asked for. 200 comes after
the commit and never before: whoever gets anything else sends the event again.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import psycopg
import structlog
from fastapi import APIRouter, Depends, Header, HTTPException, Request
from pydantic import BaseModel, Field

from invoicing.collecting.attempt import Till
from invoicing.collecting.events import NOT_OURS, take_event
from invoicing.gateways.protocol import About, ForgedEventError
from invoicing.gateways.stripe_gateway import StripeGateway
from rackmeter.gateways import stripe_gateway, stripe_invoicing
from rackmeter.settings import Settings
from schemas.errors import RackmeterError
from sinks.database import connect

log = structlog.get_logger(__name__)
PATH: Final = "/payments/stripe"
TIMEOUT_S: Final = (3.0, 10.0)
"""They wait 20 s for an answer."""
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "No signing secret of ours fits, it is too old, or it is no event"},
    404: {"description": "Stripe is not set up here"},
    413: {"description": "The body is too long"},
    503: {"description": "Stripe or the ledger does not answer: send it again"},
}
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "A snapshot event of Stripe, as it signed it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


class Taken(BaseModel):
    """It is in the ledger."""

    outcome: Annotated[str, Field(description="What the object is now, in a few words.")]


async def _raw(request: Request) -> bytes:
    return await request.body()


def routes(settings: Settings) -> APIRouter:
    """The one route. A setting that is wrong ends the start of the API."""
    router = APIRouter(tags=["payments"])
    gateway = stripe_gateway(settings, timeout_s=TIMEOUT_S)

    @router.post(PATH, summary="Take an event of Stripe", responses=ANSWERS, openapi_extra=_BODY)
    def stripe(
        body: Annotated[bytes, Depends(_raw)],
        stripe_signature: Annotated[str, Header(description="As Stripe signs its events.")] = "",
    ) -> Taken:
        if gateway is None or settings.stripe_webhook_secret_file is None:
            raise HTTPException(404, "Stripe is not set up here.")
        try:
            return Taken(outcome=_take(settings, gateway, body, stripe_signature))
        except ForgedEventError as error:
            log.warning("event refused", why=str(error))
            raise HTTPException(400, "The signature does not fit.") from None
        except (RackmeterError, psycopg.Error) as error:
            log.error("event not taken", why=str(error))
            raise HTTPException(503, "It could not be looked into: send it again.") from None

    return router


def _take(settings: Settings, gateway: StripeGateway, body: bytes, signature: str) -> str:
    url = settings.database_url or ""
    with connect(url, autocommit=True, application_name="rackmeter payments") as conn:
        till = Till(conn, gateway, lambda: datetime.now(UTC), time.sleep, lambda _: None, tries=1)
        outcome = take_event(till, body, signature)
        hosted = stripe_invoicing(settings, gateway, conn)
        if hosted is not None and hosted.event(body, signature).about is not About.NOTHING:
            theirs = take_event(replace(till, gateway=hosted), body, signature)
            outcome = outcome if theirs == NOT_OURS else theirs
    log.info("event taken", outcome=outcome)
    return outcome
