-- What a customer sees; as their owner, who names the account: the books have rows of nobody's and no row security.
CREATE VIEW customer.invoice_status WITH (security_barrier) AS
    SELECT s.number, s.currency, s.issued_at, s.due_at, s.gross, s.received, s.applied, s.balance AS open, s.status,
           a.state AS payment, a.link
    FROM invoice_status s
    LEFT JOIN payment_attempt a ON a.invoice_id = s.invoice_id AND a.ended_at IS NULL
    WHERE s.account_id = (SELECT customer.current_account());

-- Every entry that changed what he owes, and what he owed then; below zero it is owed to him.
CREATE VIEW customer.statement WITH (security_barrier) AS
    SELECT e.entry_id AS number, e.at, e.kind, e.reference, p.invoice, e.currency, p.amount,
           sum(p.amount) OVER (PARTITION BY e.currency ORDER BY e.entry_id, p.position) AS balance
    FROM journal_entry e JOIN journal_posting p USING (entry_id)
    WHERE p.ledger = 'receivable' AND e.account_id = (SELECT customer.current_account());
