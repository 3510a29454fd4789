"""What localstripe lacks of Stripe Invoicing: drafts with lines of their own, finalised and voided.

Paid by a payment that localstripe keeps. Requests as Stripe wants them are stripe-mock's to judge
(test_contract); here is what becomes of them.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Json = dict[str, Any]
Forward = Callable[[str, str, dict[str, str]], Json]
PATH = r"/v1/invoices(?:/(in_\w+)(?:/(\w+))?)?"
_made = count(1)


@dataclass
class Invoices:
    """Theirs, by id; ``tax`` is what an operator switched on by mistake adds to each draft."""

    rows: dict[str, Json] = field(default_factory=dict)
    tax: int = 0

    def of(self, number: str) -> list[Json]:
        """All that were made for one of ours, in order."""
        return [r for r in self.rows.values() if r["metadata"]["rackmeter_invoice"] == number]

    def answer(
        self, method: str, path: str, query: dict[str, str], form: dict[str, str], now: int
    ) -> tuple[int, bytes] | None:
        """None: it is about something else."""
        if path == "/v1/invoice_payments":
            paid = [
                {"object": "invoice_payment", "invoice": row["id"]} for row in self.rows.values()
                for one in row["payments"]["data"]
                if one["payment"]["payment_intent"] == query["payment[payment_intent]"]
            ]  # fmt: skip
            return _say({"object": "list", "data": paid, "has_more": False, "url": path})
        match = re.fullmatch(PATH, path)
        if match is None:
            return None
        reference, act = match[1], match[2]
        if not reference:
            return self._all(method, query, form, now)
        row = self.rows.get(reference)
        if row is None:
            return _refuse("No such invoice", 404, "resource_missing")
        if method == "DELETE":
            if row["status"] != "draft":
                return _refuse("You can only delete draft invoices")
            del self.rows[reference]
            return _say({"id": reference, "object": "invoice", "deleted": True})
        return _say(row) if method == "GET" else self._act(row, act, form)

    def _all(
        self, method: str, query: dict[str, str], form: dict[str, str], now: int
    ) -> tuple[int, bytes]:
        if method == "GET":
            rows = [r for r in self.rows.values() if r["customer"] == query["customer"]
                    and r["created"] >= int(query.get("created[gte]", 0))]  # fmt: skip
            return _say({"object": "list", "data": rows, "has_more": False, "url": "/v1/invoices"})
        metadata = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        made: Json = {
            "id": f"in_{next(_made)}", "object": "invoice", "status": "draft", "created": now,
            "customer": form["customer"], "currency": form["currency"], "metadata": metadata,
            "number": None, "lines": {"object": "list", "data": [], "url": "x", "has_more": False},
            "total": 0, "amount_due": 0, "amount_paid": 0, "amount_paid_off_stripe": 0,
            "payments": {"object": "list", "data": [], "url": "x", "has_more": False},
            "hosted_invoice_url": None, "form": form,
        }  # fmt: skip
        self.rows[made["id"]] = made
        return _say(made)

    def _act(self, row: Json, act: str | None, form: dict[str, str]) -> tuple[int, bytes]:
        draft = row["status"] == "draft"
        if act == "void":
            if row["status"] not in ("open", "uncollectible"):
                return _refuse("This invoice cannot be voided")
            row["status"] = "void"
        elif not draft:
            return _refuse("This invoice is no longer editable")
        elif act == "add_lines":
            for at in range(len([k for k in form if k.endswith("[amount]")])):
                amount = int(form[f"lines[{at}][amount]"])
                text = form[f"lines[{at}][description]"]
                row["lines"]["data"].append({"amount": amount, "description": text})
            row["total"] = sum(one["amount"] for one in row["lines"]["data"]) + self.tax
            row["amount_due"] = row["total"]
        elif act == "finalize":
            row["status"] = "open"
            row["number"] = row["number"] or f"STRIPE-{row['id']}"
            row["hosted_invoice_url"] = f"https://invoice.stripe.example/{row['id']}"
        elif any(form["number"] == one["number"] for one in self.rows.values() if one is not row):
            return _refuse("This invoice number is already used")
        else:
            row["number"] = form["number"]
        return _say(row)

    def pay(self, row: Json, forward: Forward, card: str) -> str:
        """The customer pays on their page; the payment, which carries nothing of ours."""
        form = {"amount": str(row["total"]), "currency": row["currency"],
                "customer": row["customer"], "payment_method": card}  # fmt: skip
        intent = forward("POST", "/v1/payment_intents", form)["id"]
        assert forward("POST", f"/v1/payment_intents/{intent}/confirm", {})["status"] == "succeeded"
        row.update(status="paid", amount_paid=row["total"])
        paid = {"status": "paid", "payment": {"type": "payment_intent", "payment_intent": intent}}
        row["payments"]["data"].append(paid)
        return str(intent)


def _say(found: Json) -> tuple[int, bytes]:
    return 200, json.dumps(found).encode()


def _refuse(why: str, status: int = 400, code: str = "") -> tuple[int, bytes]:
    error = {"type": "invalid_request_error", "message": why, "code": code}
    return status, json.dumps({"error": error}).encode()
