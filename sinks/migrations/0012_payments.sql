-- Collecting what invoices say: saved methods, attempts, what gateways told us, and how each account stands. Money
-- itself is in the journal; no card or bank account number ever comes here.

CREATE TABLE payment_customer (
    account_id text NOT NULL REFERENCES account,
    gateway    text NOT NULL,
    customer   text NOT NULL,                        -- what the gateway calls the account
    PRIMARY KEY (account_id, gateway)
);

-- The newest one in force is charged.
CREATE TABLE payment_method (
    gateway    text NOT NULL,
    token      text NOT NULL,                        -- what the gateway calls it: worth nothing without our secret
    account_id text NOT NULL REFERENCES account,
    kind       text NOT NULL,                        -- card, sepa_debit, transfer
    label      text NOT NULL CHECK (label !~ '[0-9]{7}'),  -- what its owner knows it by: visa •••• 4242, 12/2028
    added_at   timestamptz NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (gateway, token)
);
CREATE INDEX payment_method_account ON payment_method (account_id);

-- One payment at a gateway. The row is committed before the gateway hears of it.
CREATE TABLE payment_attempt (
    attempt_id  uuid PRIMARY KEY,                    -- idempotency key, and the metadata it is found by
    invoice_id  uuid NOT NULL REFERENCES invoice,
    number      integer NOT NULL CHECK (number > 0), -- 1, 2, … of the invoice
    account_id  text NOT NULL REFERENCES account,
    gateway     text NOT NULL,
    customer    text NOT NULL,
    token       text NOT NULL,
    currency    text NOT NULL,
    amount      numeric NOT NULL CHECK (amount > 0), -- in steps that the gateway can move
    state       text NOT NULL DEFAULT 'intended'
                CHECK (state IN ('intended', 'open', 'processing', 'action', 'declined', 'paid', 'canceled')),
    reference   text,                                -- what the gateway calls the payment
    received    numeric,
    fee         numeric,
    reason      text NOT NULL DEFAULT '',            -- why it was declined or canceled
    final       boolean NOT NULL DEFAULT false,      -- the same method is not tried again
    link        text NOT NULL DEFAULT '',            -- where the customer goes on, as for 3-D Secure
    intended_at timestamptz NOT NULL,
    ended_at    timestamptz,
    CHECK ((ended_at IS NULL) = (state NOT IN ('paid', 'canceled'))),
    CHECK (state IN ('intended', 'canceled') OR reference IS NOT NULL),
    CHECK (state <> 'paid' OR received IS NOT NULL),
    UNIQUE (invoice_id, number),
    UNIQUE (gateway, reference)
);
CREATE INDEX payment_attempt_account ON payment_attempt (account_id, intended_at);
-- An invoice has one payment under way at most.
CREATE UNIQUE INDEX payment_under_way ON payment_attempt (invoice_id) WHERE ended_at IS NULL;

-- What was paid stays paid: money goes back by a refund or a charge-back.
CREATE FUNCTION refuse_unpaid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.ended_at IS NOT NULL AND
       (NEW.state, NEW.received, NEW.amount, NEW.invoice_id, NEW.ended_at)
       IS DISTINCT FROM (OLD.state, OLD.received, OLD.amount, OLD.invoice_id, OLD.ended_at) THEN
        RAISE EXCEPTION '% of a payment attempt refused: it has ended', TG_OP;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER payment_attempt_final BEFORE UPDATE OR DELETE ON payment_attempt
    FOR EACH ROW EXECUTE FUNCTION refuse_unpaid();

CREATE TABLE payment_refund (
    refund_id  uuid PRIMARY KEY,                     -- idempotency key
    attempt_id uuid NOT NULL REFERENCES payment_attempt,
    amount     numeric NOT NULL CHECK (amount > 0),
    state      text NOT NULL DEFAULT 'intended' CHECK (state IN ('intended', 'pending', 'done', 'failed')),
    reference  text UNIQUE,
    reason     text NOT NULL,
    asked_by   text NOT NULL,
    asked_at   timestamptz NOT NULL,
    ended_at   timestamptz
);
CREATE INDEX payment_refund_attempt ON payment_refund (attempt_id);

-- What a gateway sent, by its own id: the same once, whatever came first.
CREATE TABLE payment_event (
    gateway     text NOT NULL,
    event_id    text NOT NULL,
    kind        text NOT NULL,
    object      text NOT NULL,                       -- what it is about; its state is asked for, not believed
    digest      text NOT NULL,                       -- SHA-256 of the body as it came
    received_at timestamptz NOT NULL,
    handled_at  timestamptz,
    outcome     text NOT NULL DEFAULT '',
    PRIMARY KEY (gateway, event_id)
);
CREATE INDEX payment_event_waiting ON payment_event (received_at) WHERE handled_at IS NULL;

-- Bank transfers that are expected: the gateway that has no network.
CREATE TABLE bank_transfer (
    attempt_id uuid PRIMARY KEY,
    reference  text NOT NULL UNIQUE,                 -- ISO 11649, on the invoice's reminder and the bank's statement
    account_id text NOT NULL REFERENCES account,
    currency   text NOT NULL,
    amount     numeric NOT NULL CHECK (amount > 0),
    received   numeric CHECK (received > 0),
    received_at timestamptz,
    canceled_at timestamptz,
    CHECK ((received IS NULL) = (received_at IS NULL)),
    CHECK (received IS NULL OR canceled_at IS NULL)
);
CREATE TABLE bank_transfer_back (
    refund_id uuid PRIMARY KEY,
    reference text NOT NULL REFERENCES bank_transfer (reference),
    amount    numeric NOT NULL CHECK (amount > 0),
    sent_at   timestamptz                            -- null: a person has to send it
);

-- How an account stands with its bills. Without a row it is current.
CREATE TABLE dunning (
    account_id text PRIMARY KEY REFERENCES account,
    state      text NOT NULL CHECK (state IN ('current', 'overdue', 'restricted', 'suspended', 'terminated')),
    since      timestamptz NOT NULL,
    cycle      timestamptz NOT NULL,                 -- when it last ceased to be current
    noticed    text CHECK (noticed IN ('restricted', 'suspended', 'terminated')),
    noticed_at timestamptz,                          -- when that next state was announced
    CHECK ((noticed IS NULL) = (noticed_at IS NULL))
);
CREATE TABLE dunning_change (
    number     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id text NOT NULL REFERENCES account,
    at         timestamptz NOT NULL,
    before     text NOT NULL,
    after      text NOT NULL,
    because    text NOT NULL,
    by         text NOT NULL
);
CREATE INDEX dunning_change_account ON dunning_change (account_id, number);
