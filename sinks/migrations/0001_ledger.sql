-- The metering ledger: positions, live state, windows. Times ending in _ms are Unix epoch milliseconds.

CREATE TABLE ingest_topic (
    topic_id    uuid PRIMARY KEY,
    cluster_id  text NOT NULL,
    name        text NOT NULL,
    partitions  integer NOT NULL,
    ts_type     text NOT NULL,
    first_seen  timestamptz NOT NULL DEFAULT now()
);

-- One row a partition: the only truth about what has been counted. Kafka's committed offset is a hint.
CREATE TABLE ingest_offset (
    topic_id      uuid NOT NULL REFERENCES ingest_topic,
    part          integer NOT NULL,
    next_offset   bigint NOT NULL DEFAULT 0,
    owner         uuid,
    epoch         bigint NOT NULL DEFAULT 0,
    backend_pid   integer,
    backend_start timestamptz,
    append_ms     bigint NOT NULL DEFAULT 0,   -- everything appended before this is in the ledger
    counts        jsonb NOT NULL DEFAULT '{}', -- verdict -> reports, absolute
    PRIMARY KEY (topic_id, part)
) WITH (fillfactor = 50);

-- Series of a report in its order, shared by all servers that report the same names.
CREATE TABLE series_set (
    set_id    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest    bytea NOT NULL UNIQUE,
    meter     text[] NOT NULL,
    resource  text[] NOT NULL
);
CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE '% of % refused: windows name its rows', TG_OP, TG_TABLE_NAME;
END $$;
CREATE TRIGGER series_set_kept BEFORE DELETE ON series_set FOR EACH STATEMENT EXECUTE FUNCTION refuse_delete();

-- Head of each server: absolute values, so writing one twice changes nothing.
CREATE TABLE server_state (
    part       integer NOT NULL,
    server_id  text NOT NULL,
    origin     text NOT NULL,
    since_ms   bigint NOT NULL,
    seq_hi     bigint NOT NULL,
    seen       bytea NOT NULL,
    at_ms      bigint NOT NULL,
    up_ms      bigint NOT NULL,
    set_id     integer NOT NULL REFERENCES series_set,
    last       bigint[] NOT NULL,
    absent     jsonb,                          -- series index -> [at_ms, up_ms] of its own last reading
    win_ms     bigint NOT NULL,                -- start of the open window
    open       bigint[] NOT NULL,              -- quantities of the open window
    cover_ms   integer NOT NULL,               -- observed time of the open window
    flagged    text NOT NULL DEFAULT '',       -- why an operator should look at this server
    ordinal    integer NOT NULL DEFAULT 0,     -- how many origins of this server were heard of before
    origins    integer NOT NULL DEFAULT 1,     -- and how many there are by now
    hour       integer NOT NULL DEFAULT 0,     -- of append time, in which what follows was counted
    hour_origins integer NOT NULL DEFAULT 0,
    hour_series  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (part, server_id)
) WITH (fillfactor = 45);
-- Rating asks for servers by name only; the key begins with the partition.
CREATE INDEX server_state_server ON server_state (server_id);

-- Heads of origins that are over; a late tail extends them.
CREATE TABLE server_origin (
    server_id  text NOT NULL,
    origin     text NOT NULL,
    part       integer NOT NULL,
    since_ms   bigint NOT NULL,
    seq_hi     bigint NOT NULL,
    at_ms      bigint NOT NULL,
    up_ms      bigint NOT NULL,
    set_id     integer NOT NULL REFERENCES series_set,
    last       bigint[] NOT NULL,
    absent     jsonb,
    ordinal    integer NOT NULL,               -- how many origins of this server came before
    PRIMARY KEY (server_id, origin)
);

-- Finished windows: inserted once, never updated. A duplicate key is a bug and stops the worker.
-- Where the extension timescaledb is, a hypertable; elsewhere partitions by month, made ahead by
-- `rackmeter db maintain`. What has no month of its own yet lies in the default one: no window is refused.
-- Sets are registered before windows name them and never deleted; to look each one up again would cost a third
-- of what writing a window costs.
DO $ledger$
DECLARE
    timescale text := (SELECT quote_ident(nspname) FROM pg_extension e
                       JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'timescaledb');
BEGIN
    IF timescale IS NOT NULL AND current_setting('timescaledb.license') = 'apache' THEN
        RAISE 'TimescaleDB is its Apache edition here, without continuous aggregates and columnstore'
            USING HINT = 'Set timescaledb.license to timescale, or drop the extension.';
    END IF;
    EXECUTE $$
        CREATE TABLE usage_window (
            server_id    text NOT NULL,
            window_start timestamptz NOT NULL,
            set_id       integer NOT NULL,
            qty          bigint[] NOT NULL,
            covered_ms   integer NOT NULL,
            part         integer NOT NULL,
            ckpt_offset  bigint NOT NULL,
            PRIMARY KEY (server_id, window_start)
        )$$ || CASE WHEN timescale IS NULL THEN ' PARTITION BY RANGE (window_start)' ELSE '' END;
    IF timescale IS NULL THEN
        CREATE TABLE usage_window_default PARTITION OF usage_window DEFAULT;
    ELSE
        EXECUTE format($$SELECT %s.create_hypertable('usage_window', 'window_start',
            chunk_time_interval => interval '7 days', create_default_indexes => false)$$, timescale);
    END IF;
END $ledger$;
-- squawk-ignore require-concurrent-index-creation -- the table is new
CREATE INDEX usage_window_start ON usage_window USING brin (window_start) WITH (autosummarize = on);

-- Sums of windows that retention has dropped, so that readings still are what windows sum to.
CREATE TABLE usage_dropped (
    server_id text NOT NULL,
    meter     text NOT NULL,
    resource  text NOT NULL,
    quantity  numeric NOT NULL,
    PRIMARY KEY (server_id, meter, resource)
);

-- Readings kept for the statutory term: the first of each origin and of each UTC day (server_origin has the last).
CREATE TABLE reading_anchor (
    server_id  text NOT NULL,
    origin     text NOT NULL,
    at         timestamptz NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('opening', 'daily')),
    seq        bigint NOT NULL,
    set_id     integer NOT NULL REFERENCES series_set,
    value      bigint[] NOT NULL,
    topic_id   uuid NOT NULL REFERENCES ingest_topic,
    part       integer NOT NULL,
    "offset"   bigint NOT NULL,                -- position of the report in Kafka
    PRIMARY KEY (server_id, origin, at, kind)
);

-- What still came for windows that were finished: signed, append-only.
CREATE TABLE usage_late (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_id    text NOT NULL,
    window_start timestamptz NOT NULL,
    set_id       integer NOT NULL REFERENCES series_set,
    qty          bigint[] NOT NULL,
    part         integer NOT NULL,
    ckpt_offset  bigint NOT NULL,
    reason       text NOT NULL
);
CREATE INDEX usage_late_server ON usage_late (server_id, window_start);

CREATE TABLE dead_letter (
    topic_id   uuid NOT NULL REFERENCES ingest_topic,
    part       integer NOT NULL,
    "offset"   bigint NOT NULL,
    reason     text NOT NULL,
    detail     text NOT NULL,
    key        bytea,
    payload    bytea NOT NULL,
    headers    jsonb NOT NULL,                 -- [[name, base64 value], ...]
    append_ms  bigint NOT NULL,
    published  boolean NOT NULL DEFAULT false, -- relayed to the dead-letter topic
    by_broker  boolean NOT NULL DEFAULT false, -- append_ms is the broker's own time
    retried_ms bigint,                         -- when it was last released to be metered again
    PRIMARY KEY (topic_id, part, "offset")
);
CREATE INDEX dead_letter_unpublished ON dead_letter (topic_id, part, "offset") WHERE NOT published;

CREATE TABLE agent_key (
    kid           text PRIMARY KEY,
    server_id     text NOT NULL,
    secret        bytea NOT NULL,              -- encrypted: sinks.vault
    valid_from_ms bigint NOT NULL DEFAULT 0,
    valid_to_ms   bigint NOT NULL DEFAULT 4611686018427387904
);

-- Everything metered, one row a server and window and set: finished, late and open windows.
CREATE VIEW usage_row AS
    SELECT server_id, window_start, set_id, qty, covered_ms FROM usage_window
    UNION ALL
    SELECT server_id, window_start, set_id, qty, 0 FROM usage_late
    UNION ALL
    SELECT server_id, to_timestamp(win_ms / 1000), set_id, open, cover_ms FROM server_state;

-- One row a series and window, summed (numeric: no server can make a sum overflow).
CREATE VIEW usage AS
    SELECT u.server_id, s.meter, s.resource, u.window_start, sum(s.quantity) AS quantity
    FROM usage_row u
    JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource, u.qty) AS s (meter, resource, quantity)
    GROUP BY 1, 2, 3, 4;

-- Highest reading of every chain (series x origin): what the windows must sum to.
CREATE VIEW chain AS
    SELECT c.server_id, c.origin, s.meter, s.resource, s.reading
    FROM (
        SELECT server_id, origin, set_id, last FROM server_state
        UNION ALL
        SELECT server_id, origin, set_id, last FROM server_origin
    ) c
    JOIN series_set t USING (set_id)
    CROSS JOIN LATERAL unnest(t.meter, t.resource, c.last) AS s (meter, resource, reading);

-- The conservation law: windows, dropped ones too, sum to the last readings, to the unit. Always empty.
CREATE VIEW conservation_violation AS
    SELECT coalesce(w.server_id, r.server_id) AS server_id, coalesce(w.meter, r.meter) AS meter,
           coalesce(w.resource, r.resource) AS resource,
           coalesce(w.quantity, 0) AS windows, coalesce(r.reading, 0) AS readings
    FROM (
        SELECT server_id, meter, resource, sum(quantity) AS quantity
        FROM (
            SELECT u.server_id, s.meter, s.resource, s.quantity::numeric
            FROM usage_row u
            JOIN series_set t USING (set_id)
            CROSS JOIN LATERAL unnest(t.meter, t.resource, u.qty) AS s (meter, resource, quantity)
            UNION ALL
            SELECT server_id, meter, resource, quantity FROM usage_dropped
        ) kept_and_dropped
        GROUP BY 1, 2, 3
    ) w
    FULL JOIN (SELECT server_id, meter, resource, sum(reading) AS reading FROM chain GROUP BY 1, 2, 3) r
      USING (server_id, meter, resource)
    WHERE coalesce(w.quantity, 0) <> coalesce(r.reading, 0);

-- All heads at one position of every partition: from where metering can be done again.
CREATE TABLE ledger_snapshot (
    snapshot_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    taken_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE snapshot_offset (
    snapshot_id bigint NOT NULL REFERENCES ledger_snapshot ON DELETE CASCADE,
    topic_id    uuid NOT NULL REFERENCES ingest_topic,
    part        integer NOT NULL,
    next_offset bigint NOT NULL,
    append_ms   bigint NOT NULL,
    counts      jsonb NOT NULL,
    PRIMARY KEY (snapshot_id, topic_id, part)
);

-- The columns of server_state and server_origin as they are there: a change to those changes these.
CREATE TABLE snapshot_state (
    snapshot_id bigint NOT NULL REFERENCES ledger_snapshot ON DELETE CASCADE,
    LIKE server_state,
    PRIMARY KEY (snapshot_id, part, server_id)
);

CREATE TABLE snapshot_origin (
    snapshot_id bigint NOT NULL REFERENCES ledger_snapshot ON DELETE CASCADE,
    LIKE server_origin,
    PRIMARY KEY (snapshot_id, server_id, origin)
);

-- Who put rebuilt rows into the place of these, when and why, and what changed.
CREATE TABLE ledger_swap (
    swap_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    swapped_at    timestamptz NOT NULL DEFAULT now(),
    who           text NOT NULL,
    why           text NOT NULL,
    from_snapshot bigint,                      -- null: from the beginning of the log
    positions     jsonb NOT NULL,              -- partition -> offset up to which both were equal
    changes       jsonb NOT NULL,              -- kind of row -> how many were missing, extra, changed
    quantities    jsonb NOT NULL               -- the first 1,000 sums that changed
);
