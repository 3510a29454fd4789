-- What was billed for a sealed period beyond its invoice, what may have to be, and from which topic a row came.

-- Rows of the ledger say number * 2^40 + offset of their topic (sinks/positions.py): one topic's positions never
-- are another's. What is drained is waited for no more; a worker that meters it again takes the mark away.
ALTER TABLE ingest_topic
    ADD COLUMN number     integer NOT NULL DEFAULT 0,
    ADD COLUMN drained_at timestamptz,
    ADD COLUMN drained_by text;
UPDATE ingest_topic t SET number = n.number
FROM (SELECT topic_id, row_number() OVER (ORDER BY first_seen, topic_id) - 1 AS number FROM ingest_topic) n
WHERE n.topic_id = t.topic_id;

-- Looks at a sealed scope and period, in order. invoice_id: what billed the difference; null where there was none.
CREATE TABLE adjustment (
    scope_id     text NOT NULL,
    period_start timestamptz NOT NULL,
    look         integer NOT NULL CHECK (look > 0),
    looked_at    timestamptz NOT NULL,
    input_digest text NOT NULL,                 -- of the inputs as known then
    invoice_id   uuid REFERENCES invoice,
    close_of     timestamptz NOT NULL,          -- start of the period in whose close it was made
    PRIMARY KEY (scope_id, period_start, look),
    FOREIGN KEY (scope_id, period_start) REFERENCES scope_seal
);
CREATE INDEX adjustment_invoice ON adjustment (invoice_id);
CREATE INDEX adjustment_close ON adjustment (close_of) WHERE invoice_id IS NOT NULL;

-- Which period a line of an invoice or credit note corrects, and what kind of line it corrects there.
CREATE TABLE adjustment_line (
    invoice_id   uuid NOT NULL,
    position     integer NOT NULL,
    scope_id     text NOT NULL,
    period_start timestamptz NOT NULL,
    corrects     text NOT NULL,                 -- key of the line
    kind         text NOT NULL,
    PRIMARY KEY (invoice_id, position),
    FOREIGN KEY (invoice_id, position) REFERENCES invoice_line
);
CREATE INDEX adjustment_line_period ON adjustment_line (scope_id, period_start);

-- Sealed periods for which something came since: usage, a command, prices. Emptied by looking.
CREATE TABLE adjust_due (
    due_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope_id     text NOT NULL,
    period_start timestamptz NOT NULL,
    why          text NOT NULL CHECK (why IN ('usage', 'timeline', 'price', 'asked')),
    noted_at     timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (scope_id, period_start) REFERENCES scope_seal
);
CREATE INDEX adjust_due_scope ON adjust_due (scope_id, period_start);

-- Up to where late entries of a partition have been noted in adjust_due.
CREATE TABLE adjust_mark (
    topic_id    uuid NOT NULL REFERENCES ingest_topic,
    part        integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic_id, part)
);
-- squawk-ignore require-concurrent-index-creation -- few entries
CREATE INDEX usage_late_position ON usage_late (part, ckpt_offset);

-- Servers that had not reported past the end of what was billed, with the open window as it was counted. look 0 is
-- the seal itself. at_ms: the last reading; 0 where there was none, and no window.
CREATE TABLE seal_open (
    scope_id     text NOT NULL,
    period_start timestamptz NOT NULL,
    look         integer NOT NULL,
    server_id    text NOT NULL,
    part         integer NOT NULL,              -- -1 where there was no reading
    at_ms        bigint NOT NULL,
    window_start timestamptz,
    set_id       integer REFERENCES series_set,
    qty          bigint[],
    covered_ms   integer,
    PRIMARY KEY (scope_id, period_start, look, server_id, part),
    FOREIGN KEY (scope_id, period_start) REFERENCES scope_seal
);
CREATE INDEX seal_open_server ON seal_open (server_id);

-- What was billed and looked at stays as it was.
CREATE TRIGGER adjustment_final BEFORE UPDATE OR DELETE ON adjustment FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER adjustment_line_final BEFORE UPDATE OR DELETE ON adjustment_line
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER seal_open_final BEFORE UPDATE OR DELETE ON seal_open FOR EACH ROW EXECUTE FUNCTION refuse_change();
