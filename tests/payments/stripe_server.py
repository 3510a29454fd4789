"""A Stripe that fails as it is told, in front of localstripe, which keeps the state.

It adds what localstripe lacks and Stripe has: idempotency keys that replay the first answer,
failures included, and are forgotten after a day; lists by customer; fees; banks that want to see
the customer. And it fails: before or after the work is done, by 429, 500, a reset or silence.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.payments.stripe_invoices import Invoices

KEY_SECONDS = 24 * 3600
CONFIRM = r"/v1/payment_intents/\w+/confirm"
CREATE = r"/v1/payment_intents"
CANCEL = r"/v1/payment_intents/\w+/cancel"
REFUND = r"/v1/refunds"
_UNKNOWN = {
    CREATE: ("description",),
    CONFIRM: ("off_session", "return_url", "payment_method", "use_stripe_sdk"),
}
"""Parameters that Stripe has and localstripe refuses; stripe-mock checks them (test_contract)."""


@dataclass
class Fault:
    """What happens to the next request that it fits; ``after``: its work was done."""

    kind: str
    path: str
    after: bool = False
    method: str = "POST"
    times: int = 1


@dataclass
class Call:
    """A request as it came."""

    method: str
    path: str
    key: str
    form: dict[str, str]


@dataclass
class StripeState:
    """What tests script and read."""

    backend: int
    clock: Callable[[], float] = time.time
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    """Answers for paths that localstripe does not have."""
    invoices: Invoices = field(default_factory=Invoices)
    keys: dict[str, tuple[float, int, bytes]] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    """Payments whose bank waits for the customer, who was elsewhere."""
    hook: Callable[[bool], None] | None = None
    """Called before the work of each request (False) and after it, before its answer (True)."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    url: str = ""

    def called(self, path: str, method: str = "POST") -> list[Call]:
        return [c for c in self.calls if c.method == method and re.fullmatch(path, c.path)]

    def intents(self, customer: str | None = None) -> list[dict[str, Any]]:
        """Every payment that there is, whoever made it."""
        status, body = forward(self.backend, "GET", "/v1/payment_intents?limit=100", {})
        assert status == 200
        rows, page = [], json.loads(body)
        while True:
            rows += page["data"]
            if not page["has_more"]:
                break
            after = f"/v1/payment_intents?limit=100&starting_after={page['data'][-1]['id']}"
            page = json.loads(forward(self.backend, "GET", after, {})[1])
        return [enriched(row) for row in rows if customer in (None, row["customer"])]

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.method == method and re.fullmatch(fault.path, path) and fault.times:
                    fault.times -= 1
                    return fault
        return None


def forward(port: int, method: str, path: str, form: dict[str, str]) -> tuple[int, bytes]:
    """To localstripe."""
    conn = HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"authorization": "Bearer sk_test_12345"}
    body = None
    if method == "POST":
        body = urlencode(form)
        headers["content-type"] = "application/x-www-form-urlencoded"
    with contextlib.closing(conn):
        conn.request(method, path, body, headers)
        answer = conn.getresponse()
        return answer.status, answer.read()


def enriched(found: dict[str, Any]) -> dict[str, Any]:
    """With what Stripe says besides: what was received, and its fee of 1.5 % and 25 cents."""
    if found.get("object") != "payment_intent":
        return found
    found["amount_received"] = found["amount"] if found["status"] == "succeeded" else 0
    if found.get("next_action"):
        url = f"https://hooks.stripe.example/3ds/{found['id']}"
        found["next_action"] = {"type": "redirect_to_url", "redirect_to_url": {"url": url}}
    charge = found.get("latest_charge")
    if isinstance(charge, dict) and charge.get("balance_transaction"):
        charge["balance_transaction"] = {
            "object": "balance_transaction",
            "id": "txn_1",
            "fee": found["amount"] * 15 // 1000 + 25,
            "currency": found["currency"],
        }
    return found


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked was killed."""


def serve(state: StripeState) -> ThreadingHTTPServer:
    """Answers until it is shut down."""
    server = _Server(("127.0.0.1", 0), _handler(state))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    return server


def _handler(state: StripeState) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def _serve(self, method: str) -> None:
            length = int(self.headers.get("content-length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
            path, key = urlsplit(self.path).path, self.headers.get("idempotency-key", "")
            state.calls.append(Call(method, path, key, form))
            fault = state.take(method, path)
            if fault and fault.kind in ("400", "401", "429"):  # said before the layer of keys
                self._say(int(fault.kind), b'{"error": {"message": "No."}}')
                return
            if fault and not fault.after and self._fail(fault, key):
                return
            status, body, replayed = self._once(method, key, form)
            if not (fault and fault.after and self._fail(fault, key)):
                self._say(status, body, replayed=replayed)

        def _once(self, method: str, key: str, form: dict[str, str]) -> tuple[int, bytes, bool]:
            with state.lock:
                if state.hook:
                    state.hook(False)
                known = state.keys.get(key)
                if known and method == "POST" and state.clock() - known[0] < KEY_SECONDS:
                    return known[1], known[2], True
                status, body = answer(state, method, self.path, form)
                if key and method == "POST":
                    state.keys[key] = (state.clock(), status, body)
                if state.hook:
                    state.hook(True)
                return status, body, False

        def _fail(self, fault: Fault, key: str) -> bool:
            """True: this request has had its end."""
            if fault.kind == "500":
                body = b'{"error": {"type": "api_error", "message": "An error occurred."}}'
                if key:
                    state.keys[key] = (state.clock(), 500, body)
                self._say(500, body)
            elif fault.kind == "silence":
                time.sleep(1.5)  # longer than the client of the tests waits
                self.close_connection = True
            else:
                self.close_connection = True
            return True

        def _say(self, status: int, body: bytes, *, replayed: bool = False) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if replayed:
                self.send_header("idempotent-replayed", "true")
            with contextlib.suppress(ConnectionError):  # who asked was killed
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    return Handler


def answer(state: StripeState, method: str, target: str, form: dict[str, str]) -> tuple[int, bytes]:
    """What Stripe would say, from what localstripe says."""
    url = urlsplit(target)
    if url.path in state.objects:
        return 200, json.dumps(state.objects[url.path]).encode()
    query = dict(parse_qsl(url.query))
    hosted = state.invoices.answer(method, url.path, query, form, int(state.clock()))
    if hosted is not None:
        return hosted
    if method == "GET" and url.path == "/v1/payment_intents":
        rows = [i for i in state.intents(query["customer"])
                if i["created"] >= int(query.get("created[gte]", 0))]  # fmt: skip
        page = {"object": "list", "url": url.path, "has_more": False, "data": rows}
        return 200, json.dumps(page).encode()
    if method == "GET" and url.path == "/v1/payment_methods":
        target += "&type=card"  # localstripe wants to be told
    sent = dict(form)
    for path, names in _UNKNOWN.items():
        if re.fullmatch(path, url.path):
            sent = {name: value for name, value in sent.items() if name not in names}
    status, body = forward(state.backend, method, target, sent)
    found = json.loads(body)
    return _seen(state, url.path, form, status, found)


def _seen(
    state: StripeState, path: str, form: dict[str, str], status: int, found: dict[str, Any]
) -> tuple[int, bytes]:
    """A bank that wants to see the customer declines what is charged in his absence."""
    confirming = re.fullmatch(CONFIRM, path)
    intent = path.split("/")[3] if path.startswith("/v1/payment_intents/") else ""
    if confirming and form.get("off_session") and found.get("status") == "requires_action":
        state.unseen.add(intent)
        error = {"type": "card_error", "code": "authentication_required", "message": "Declined."}
        return 402, json.dumps({"error": error}).encode()
    if confirming and intent in state.unseen and not form.get("off_session"):
        state.unseen.discard(intent)
        status, body = forward(state.backend, "GET", f"/v1/payment_intents/{intent}", {})
        return status, json.dumps(enriched(json.loads(body))).encode()
    found = enriched(found)
    if intent in state.unseen and found.get("status") == "requires_action":
        found["status"], found["next_action"] = "requires_payment_method", None
        found["last_payment_error"] = {"code": "authentication_required"}
    return status, json.dumps(found).encode()
