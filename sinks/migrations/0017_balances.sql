-- Balances in a customer's favour pay other invoices (entries of kind `apply`), and money is booked that comes after its
-- attempt was given up.
-- Attempts are as many as invoices: the update is short.
-- squawk-ignore-file adding-not-nullable-field, ban-drop-constraint

-- What of the amount the invoice itself owed when it was asked for; the rest was carried to it.
ALTER TABLE payment_attempt ADD COLUMN owed numeric;
UPDATE payment_attempt SET owed = amount;
ALTER TABLE payment_attempt ALTER COLUMN owed SET NOT NULL;

-- What was paid stays paid. What was given up is paid when money comes all the same.
CREATE OR REPLACE FUNCTION refuse_unpaid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.state = 'canceled' AND NEW.state = 'paid'
       AND (NEW.amount, NEW.invoice_id) = (OLD.amount, OLD.invoice_id) THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.ended_at IS NOT NULL AND
       (NEW.state, NEW.received, NEW.amount, NEW.invoice_id, NEW.ended_at)
       IS DISTINCT FROM (OLD.state, OLD.received, OLD.amount, OLD.invoice_id, OLD.ended_at) THEN
        RAISE EXCEPTION '% of a payment attempt refused: it has ended', TG_OP;
    END IF;
    RETURN NEW;
END $$;

-- A transfer may come when it is not expected any more.
ALTER TABLE bank_transfer DROP CONSTRAINT bank_transfer_check1;

-- Money of an invoice that went back in these ways and that no credit note has explained since.
CREATE FUNCTION went_back(number text, kinds text[]) RETURNS numeric LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(m.amount), 0)
    FROM (SELECT p.amount, e.kind, min(entry_id) FILTER (WHERE e.kind = ANY (went_back.kinds)) OVER () AS since, entry_id
          FROM journal_posting p JOIN journal_entry e USING (entry_id)
          WHERE p.invoice = went_back.number AND p.invoice <> '' AND p.ledger = 'receivable') m
    WHERE m.kind = ANY (went_back.kinds) OR m.kind = 'credit-note' AND m.entry_id > m.since;
END;

-- `applied`: what balances of other invoices paid of this one; below zero, what its own paid of others. `asked`: what
-- may be charged, without what went back, for which nobody but a person asks again. `unpaid`: what is late when it is
-- not paid; what was charged back is.
CREATE OR REPLACE VIEW invoice_status AS
    SELECT i.invoice_id, i.number, i.account_id, i.currency, i.issued_at, coalesce(i.due_at, i.issued_at) AS due_at,
           i.gross, received, refunded, charged_back, written_off, balance,
           CASE WHEN balance < 0 THEN 'over-paid'
                WHEN balance > 0 AND charged_back > 0 THEN 'charged back'
                WHEN refunded > 0 AND received <= refunded + charged_back THEN 'refunded'
                WHEN balance = 0 AND written_off > 0 THEN 'written off'
                WHEN balance = 0 THEN 'paid'
                WHEN balance < i.gross THEN 'partly paid'
                ELSE 'open' END AS status,
           applied, i.entity,
           CASE WHEN balance <= 0 THEN 0 WHEN refunded <= 0 AND charged_back <= 0 THEN balance
                ELSE balance - greatest(0, least(balance, went_back(i.number, '{refund,charge-back}'))) END AS asked,
           CASE WHEN balance <= 0 THEN 0 WHEN refunded <= 0 THEN balance
                ELSE balance - greatest(0, least(balance, went_back(i.number, '{refund}'))) END AS unpaid
    FROM invoice i
    CROSS JOIN LATERAL (
        SELECT coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'payment'), 0) AS received,
               coalesce(sum(p.amount) FILTER (WHERE e.kind = 'refund'), 0) AS refunded,
               coalesce(sum(p.amount) FILTER (WHERE e.kind = 'charge-back'), 0) AS charged_back,
               coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'write-off'), 0) AS written_off,
               coalesce(-sum(p.amount) FILTER (WHERE e.kind = 'apply'), 0) AS applied,
               coalesce(sum(p.amount), i.gross) AS balance
        FROM journal_posting p JOIN journal_entry e USING (entry_id)
        WHERE p.invoice = i.number AND p.invoice <> '' AND p.ledger = 'receivable'
    ) j
    WHERE i.kind = 'invoice';
