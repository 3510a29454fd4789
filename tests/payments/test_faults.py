"""Every way in which a call may fail, before and after its work: each invoice is paid once.

After the fault the next run comes at once, or a day later, when the idempotency keys are gone.
"""

from datetime import timedelta

import pytest

from invoicing.collecting.plan import FAILED
from schemas.errors import ConfigError
from tests.payments.stripe_server import CANCEL, CONFIRM, CREATE, Fault
from tests.payments.world import DECLINED, World

LATER = [timedelta(minutes=5), timedelta(hours=25)]


@pytest.mark.parametrize("later", LATER, ids=["5 min", "25 h"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["reset", "silence", "500"])
@pytest.mark.parametrize("path", [CREATE, CONFIRM], ids=["create", "confirm"])
def test_an_answer_that_is_lost(
    world: World, path: str, kind: str, after: bool, later: timedelta
) -> None:
    world.account()
    number = world.bill("acme", "10.00")
    world.stripe.faults = [Fault(kind, path, after=after)]
    world.collect()
    assert world.stripe.faults[0].times == 0, "it has happened"
    for _ in range(3):  # at once, later, and until nothing is left to do
        world.now += later
        world.collect()
    assert len(world.paid_at_stripe(number)) == 1
    assert world.status(number) == "paid"
    assert world.balances()["clearing:stripe"] > 0
    # What was made for it and not paid can never be.
    made = [i for i in world.stripe.intents() if i["metadata"].get("rackmeter_invoice") == number]
    assert {i["status"] for i in made} <= {"succeeded", "canceled"}


def test_a_key_that_replays_a_failure_gets_another_attempt_after_a_look_up(world: World) -> None:
    world.account()
    number = world.bill("acme", "10.00")
    world.stripe.faults = [Fault("500", CREATE)]
    assert world.collect().exit_code == 4
    world.now += timedelta(minutes=5)
    world.collect()
    assert world.attempts(number) == [("canceled", FAILED), ("paid", "")]
    keys = [call.key for call in world.stripe.called(CREATE)]
    assert keys[0] == keys[1] != keys[2]
    looks = [c for c in world.stripe.calls if c.method == "GET" and c.path == CREATE]
    assert len(looks) >= 2


def test_a_key_that_is_forgotten_is_used_again_only_after_a_look_up(world: World) -> None:
    world.account()
    number = world.bill("acme", "10.00")
    world.stripe.faults = [
        Fault("reset", CREATE, after=True), Fault("reset", CREATE, method="GET")
    ]  # fmt: skip
    world.collect()
    world.now += timedelta(hours=25)
    world.collect()
    assert len(world.stripe.called(CREATE)) == 1
    assert [state for state, _ in world.attempts(number)] == ["paid"]


def test_too_many_requests_are_waited_out_and_then_left_for_the_next_run(world: World) -> None:
    world.account()
    number = world.bill("acme", "10.00")
    world.stripe.faults = [Fault("429", CREATE, times=2)]
    assert world.collect().exit_code == 0
    assert [1 <= world.slept[0] <= 1.5, 2 <= world.slept[1] <= 3] == [True, True]
    assert world.status(number) == "paid"
    number = world.bill("acme", "11.00")
    world.stripe.faults = [Fault("429", CONFIRM, times=99)]
    assert world.collect().exit_code == 4
    world.stripe.faults = []
    world.collect()
    assert world.status(number) == "paid"
    assert len(world.paid_at_stripe(number)) == 1


def test_a_decline_whose_cancel_is_lost_is_canceled_by_the_next_run(world: World) -> None:
    world.account(card=DECLINED)
    number = world.bill("acme", "10.00")
    world.stripe.faults = [Fault("reset", CANCEL)]
    assert world.collect().exit_code == 4
    assert world.attempts(number) == [("declined", "card_declined")]
    world.collect()
    assert world.attempts(number) == [("canceled", "card_declined")]


def test_a_wrong_key_is_said_in_a_sentence_and_changes_nothing(world: World) -> None:
    world.account()
    number = world.bill("acme", "10.00")
    world.stripe.faults = [Fault("401", CREATE)]
    with pytest.raises(ConfigError, match="RACKMETER_STRIPE_SECRET_FILE"):
        world.collect()
    world.collect()
    assert world.status(number) == "paid"
