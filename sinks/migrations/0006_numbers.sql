-- Invoice numbers outlive the database: a name for the ledger that its number log carries too, and the numbers
-- that were given out and that this database, restored from an older state, does not have.

CREATE TABLE ledger_identity (
    ledger_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    one       boolean NOT NULL DEFAULT true UNIQUE CHECK (one)
);
INSERT INTO ledger_identity DEFAULT VALUES;

-- One row a number that the log knows and the database did not, whatever became of it afterwards: entered again
-- when `invoice` has it. No reference to anything: what it names may be lost as well.
CREATE TABLE number_outside (
    number       text PRIMARY KEY,
    entity       text NOT NULL,
    kind         text NOT NULL,
    year         integer NOT NULL,
    count        bigint NOT NULL,
    invoice_id   uuid NOT NULL,
    digest       text NOT NULL,                -- of the document that carries it
    account_id   text NOT NULL,
    period_start timestamptz NOT NULL,
    scopes       text[] NOT NULL,
    certain      boolean NOT NULL,             -- false: taken by a close that may have ended before its commit
    noted_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX number_outside_invoice ON number_outside (invoice_id);
