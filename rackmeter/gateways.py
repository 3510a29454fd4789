"""The gateways that are set up, and the rules of dunning, from the settings in force."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Final

from agents.keyfile import private_text
from invoicing.collecting.collect import now
from invoicing.collecting.dunning import Policy
from invoicing.gateways.protocol import Gateway
from invoicing.gateways.stripe_gateway import ANSWER_S, CONNECT_S, StripeGateway, StripeKeys
from invoicing.gateways.stripe_invoicing import StripeInvoiceGateway
from invoicing.gateways.stripe_sheets import sheet_of
from invoicing.gateways.transfer_gateway import TransferGateway
from pipeline.money import MINOR_UNITS
from rackmeter.errors import ConfigError
from rackmeter.settings import Settings
from sinks.database import Connection

_SECRETS: Final = ("sk_", "rk_")


def gateways(settings: Settings) -> Callable[[Connection], list[Gateway]]:
    """All of them, for a connection in autocommit. What is wrong is said before one is there."""
    card = stripe_gateway(settings)

    def make(conn: Connection) -> list[Gateway]:
        transfer: Gateway = TransferGateway(conn, now)
        hosted = stripe_invoicing(settings, card, conn)
        return [one for one in (card, hosted, transfer) if one is not None]

    return make


def stripe_invoicing(
    settings: Settings, card: StripeGateway | None, conn: Connection
) -> StripeInvoiceGateway | None:
    """None unless it is switched on. Raises ConfigError where Stripe is not set up."""
    if not settings.stripe_invoicing:
        return None
    if card is None:
        raise ConfigError("RACKMETER_STRIPE_INVOICING is set: RACKMETER_STRIPE_SECRET_FILE too.")
    return StripeInvoiceGateway(card, partial(sheet_of, conn))


def stripe_gateway(
    settings: Settings, timeout_s: tuple[float, float] = (CONNECT_S, ANSWER_S)
) -> StripeGateway | None:
    """None where Stripe is not set up."""
    file = settings.stripe_secret_file
    if file is None:
        return None
    if settings.stripe_return_url is None:
        raise ConfigError(
            "RACKMETER_STRIPE_SECRET_FILE is set: RACKMETER_STRIPE_RETURN_URL as well, the page"
            " that customers come back to when they have saved a card or passed 3-D Secure."
        )
    secret = private_text(file).strip()
    if not secret.startswith(_SECRETS):
        raise ConfigError(f"{file} must hold a secret key of Stripe, rk_… or sk_….")
    signing = settings.stripe_webhook_secret_file
    secrets = () if signing is None else tuple(private_text(signing).split())
    if signing is not None and not all(one.startswith("whsec_") for one in secrets or ("",)):
        raise ConfigError(f"{signing} must hold the endpoint's signing secret, whsec_….")
    return StripeGateway(
        StripeKeys(secret, secrets, settings.stripe_return_url, settings.stripe_api)
    )


def _minimum(text: str) -> dict[str, Decimal]:
    """``5.00 EUR,800 JPY`` by currency."""
    pairs = [one.split() for one in text.split(",") if one.strip()]
    if unknown := [currency for _, currency in pairs if currency not in MINOR_UNITS]:
        raise ConfigError(
            f"RACKMETER_DUNNING_MINIMUM names {', '.join(unknown)}, which is no currency of"
            " ISO 4217; write 5.00 EUR,800 JPY."
        )
    return {currency: Decimal(amount) for amount, currency in pairs}


def policy(settings: Settings) -> Policy:
    """The days, which must go up."""
    days = [int(day) for day in settings.dunning_retry_days.split(",") if day]
    found = Policy(
        tuple(days), settings.dunning_overdue_days, settings.dunning_restrict_days,
        settings.dunning_suspend_days, settings.dunning_terminate_days,
        settings.dunning_notice_days, _minimum(settings.dunning_minimum),
    )  # fmt: skip
    steps = (
        found.overdue_days, found.restrict_days, found.suspend_days, found.terminate_days,
    )  # fmt: skip
    if any(later <= sooner for sooner, later in pairwise(steps)):
        raise ConfigError(
            "RACKMETER_DUNNING_OVERDUE_DAYS, _RESTRICT_DAYS, _SUSPEND_DAYS and _TERMINATE_DAYS are"
            f" {', '.join(map(str, steps))}: each must be more than the one before."
        )
    return found
