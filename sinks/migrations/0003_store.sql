-- What the store makes of the ledger: hours, days and accounts' months, complete at every moment.
--
-- Stored hours hold finished windows up to store_mark.stored, apart from the hours named in usage_stale,
-- into which windows came afterwards. Views take stored hours that are not stale, and the windows
-- themselves, late entries and open windows for everything else; sinks/store/refresh.py moves the mark.

-- What the tables of this ledger are; they may lie on a server that could be both.
CREATE FUNCTION store_backend() RETURNS text LANGUAGE sql STABLE AS
$$ SELECT CASE relkind WHEN 'p' THEN 'postgresql' ELSE 'timescaledb' END FROM pg_class
   WHERE oid = 'usage_window'::regclass $$;

-- Buckets of UTC; those of weeks begin on Mondays. Not time_bucket: TimescaleDB has one of that name.
CREATE FUNCTION rm_bucket(width interval, ts timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT date_bin(width, ts, timestamptz '2000-01-03 00:00:00+00') $$;

-- Element by element; numeric, as no server can make a sum overflow.
CREATE FUNCTION rm_add(total numeric[], more bigint[]) RETURNS numeric[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF total IS NULL THEN
        RETURN more::numeric[];
    END IF;
    FOR i IN 1 .. cardinality(more) LOOP
        total[i] := total[i] + more[i];
    END LOOP;
    RETURN total;
END $$;
CREATE FUNCTION rm_add(total numeric[], more numeric[]) RETURNS numeric[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF total IS NULL THEN
        RETURN more;
    END IF;
    FOR i IN 1 .. cardinality(more) LOOP
        total[i] := total[i] + more[i];
    END LOOP;
    RETURN total;
END $$;
CREATE AGGREGATE rm_sum(bigint[]) (SFUNC = rm_add, STYPE = numeric[], PARALLEL = SAFE);
CREATE AGGREGATE rm_sum(numeric[]) (SFUNC = rm_add, STYPE = numeric[], PARALLEL = SAFE);

-- One row. Hours from dropped to stored are stored; below dropped there are stored hours that never
-- change again, and windows that came after the others were dropped.
CREATE TABLE store_mark (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    dropped  timestamptz NOT NULL DEFAULT '-infinity', -- windows before it are in usage_dropped
    stored   timestamptz NOT NULL DEFAULT '-infinity', -- hours before it are taken from what is stored
    closing  timestamptz NOT NULL DEFAULT '-infinity'  -- whoever adds a window before it names its hour
);
INSERT INTO store_mark DEFAULT VALUES;

-- Hours of servers that no longer are what is stored of them; the same may stand here several times.
CREATE TABLE usage_stale (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_id text NOT NULL,
    hour      timestamptz NOT NULL
);
CREATE INDEX usage_stale_hour ON usage_stale (server_id, hour);

-- Asked by every transaction that adds or changes windows, before it does: the time before which it must
-- name their hours in usage_stale. Until it ends, the mark stands still.
CREATE FUNCTION store_closing() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(8241978106112471661); -- "rackmarm": sinks/store/refresh.py
    RETURN (SELECT closing FROM store_mark);
END $$;

-- Names the hours of these windows where they are stored already.
CREATE FUNCTION store_touched(servers text[], windows timestamptz[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO usage_stale (server_id, hour)
    SELECT DISTINCT server_id, rm_bucket('1 hour', window_start)
    FROM unnest(servers, windows) AS touched (server_id, window_start)
    WHERE window_start < (SELECT closing FROM store_mark)
$$;

-- Stored hours and days, a row a server and set of series: tables here, continuous aggregates there.
DO $store$
DECLARE
    timescale text := (SELECT quote_ident(nspname) FROM pg_extension e
                       JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'timescaledb');
BEGIN
    IF store_backend() = 'postgresql' THEN
        CREATE TABLE usage_hour_stored (
            server_id  text NOT NULL,
            hour       timestamptz NOT NULL,
            set_id     integer NOT NULL,
            qty        numeric[] NOT NULL,
            covered_ms bigint NOT NULL,
            PRIMARY KEY (server_id, hour, set_id)
        );
        CREATE INDEX usage_hour_stored_hour ON usage_hour_stored (hour);
        CREATE TABLE usage_day_stored (
            server_id  text NOT NULL,
            day        timestamptz NOT NULL,
            set_id     integer NOT NULL,
            qty        numeric[] NOT NULL,
            covered_ms bigint NOT NULL,
            PRIMARY KEY (server_id, day, set_id)
        );
        CREATE INDEX usage_day_stored_day ON usage_day_stored (day);
    ELSE
        ALTER TABLE usage_window SET (
            timescaledb.enable_columnstore, timescaledb.segmentby = 'server_id',
            timescaledb.orderby = 'window_start');
        EXECUTE format($$
            CREATE MATERIALIZED VIEW usage_hour_stored
            WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
            SELECT server_id, %1$s.time_bucket('1 hour', window_start) AS hour, set_id,
                   rm_sum(qty) AS qty, sum(covered_ms) AS covered_ms
            FROM usage_window GROUP BY 1, 2, 3 WITH NO DATA$$, timescale);
        EXECUTE format($$
            CREATE MATERIALIZED VIEW usage_day_stored
            WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
            SELECT server_id, %1$s.time_bucket('1 day', hour) AS day, set_id,
                   rm_sum(qty) AS qty, sum(covered_ms)::bigint AS covered_ms
            FROM usage_hour_stored GROUP BY 1, 2, 3 WITH NO DATA$$, timescale);
    END IF;
END $store$;

-- The series of a set by their place in it. Joined instead of unnested, so that who asks for one meter
-- pays for one.
CREATE VIEW series AS
    SELECT t.set_id, n.ix, n.meter, n.resource
    FROM series_set t
    CROSS JOIN LATERAL unnest(t.meter, t.resource) WITH ORDINALITY AS n (meter, resource, ix);

-- Late entries and open windows: few, so they are never stored with hours and days.
CREATE VIEW usage_aside AS
    SELECT server_id, window_start, set_id, qty::numeric[], 0::bigint AS covered_ms FROM usage_late
    UNION ALL
    SELECT server_id, to_timestamp(win_ms / 1000), set_id, open::numeric[], cover_ms::bigint
    FROM server_state;

-- Finished windows as pieces of hours: add up what is of one hour.
CREATE VIEW usage_hour_part AS
    SELECT server_id, hour, set_id, qty, covered_ms FROM usage_hour_stored h
    WHERE hour < (SELECT stored FROM store_mark)
      AND NOT EXISTS (
          SELECT FROM usage_stale s WHERE s.server_id = h.server_id AND s.hour = h.hour
          AND s.hour >= (SELECT dropped FROM store_mark))
    UNION ALL
    SELECT server_id, rm_bucket('1 hour', window_start), set_id, qty::numeric[], covered_ms::bigint
    FROM usage_window WHERE window_start >= (SELECT stored FROM store_mark)
    UNION ALL
    SELECT w.server_id, s.hour, w.set_id, w.qty::numeric[], w.covered_ms::bigint
    FROM (SELECT DISTINCT server_id, hour FROM usage_stale
          WHERE hour < (SELECT stored FROM store_mark)) s
    JOIN usage_window w ON w.server_id = s.server_id
     AND w.window_start >= s.hour AND w.window_start < s.hour + interval '1 hour';

-- The same of days: a stored day stands for its hours as long as none of them is stale.
CREATE VIEW usage_day_part AS
    SELECT server_id, day, set_id, qty, covered_ms FROM usage_day_stored d
    WHERE day < (SELECT rm_bucket('1 day', stored) FROM store_mark)
      AND NOT EXISTS (
          SELECT FROM usage_stale s WHERE s.server_id = d.server_id
          AND s.hour >= d.day AND s.hour < d.day + interval '1 day')
    UNION ALL
    SELECT server_id, rm_bucket('1 day', hour), set_id, qty, covered_ms
    FROM usage_hour_part WHERE hour >= (SELECT rm_bucket('1 day', stored) FROM store_mark)
    UNION ALL
    SELECT h.server_id, s.day, h.set_id, h.qty, h.covered_ms
    FROM (SELECT DISTINCT server_id, rm_bucket('1 day', hour) AS day FROM usage_stale
          WHERE hour < (SELECT rm_bucket('1 day', stored) FROM store_mark)) s
    JOIN usage_hour_part h ON h.server_id = s.server_id
     AND h.hour >= s.day AND h.hour < s.day + interval '1 day';

CREATE VIEW usage_hour_row AS
    SELECT server_id, hour, set_id, qty, covered_ms FROM usage_hour_part
    UNION ALL
    SELECT server_id, rm_bucket('1 hour', window_start), set_id, qty, covered_ms FROM usage_aside;

CREATE VIEW usage_day_row AS
    SELECT server_id, day, set_id, qty, covered_ms FROM usage_day_part
    UNION ALL
    SELECT server_id, rm_bucket('1 day', window_start), set_id, qty, covered_ms FROM usage_aside;

-- One row a series and UTC hour. covered_ms is the server's observed time in it, the same on each series' row.
CREATE VIEW usage_hour AS
    SELECT r.server_id, s.meter, s.resource, r.hour, sum(r.qty[s.ix]) AS quantity,
           max(r.covered_ms)::bigint AS covered_ms
    FROM (
        SELECT server_id, hour, set_id, qty,
               sum(covered_ms) OVER (PARTITION BY server_id, hour) AS covered_ms
        FROM usage_hour_row
    ) r
    JOIN series s USING (set_id)
    GROUP BY 1, 2, 3, 4;

CREATE VIEW usage_day AS
    SELECT r.server_id, s.meter, s.resource, r.day, sum(r.qty[s.ix]) AS quantity,
           max(r.covered_ms)::bigint AS covered_ms
    FROM (
        SELECT server_id, day, set_id, qty,
               sum(covered_ms) OVER (PARTITION BY server_id, day) AS covered_ms
        FROM usage_day_row
    ) r
    JOIN series s USING (set_id)
    GROUP BY 1, 2, 3, 4;

-- Which server was an account's from when to when in a month of its zone, and the whole UTC hours in there.
CREATE VIEW account_month AS
    SELECT x.*, rm_bucket('1 hour', low + interval '1 hour' - interval '1 microsecond') AS first_hour,
           rm_bucket('1 hour', high) AS end_hour
    FROM (
        SELECT c.account_id, i.scope_id, a.server_id, m.at::date AS month,
               m.at AT TIME ZONE c.timezone AS period_start,
               greatest(lower(a.valid), m.at AT TIME ZONE c.timezone) AS low,
               least(upper(a.valid), (m.at + interval '1 month') AT TIME ZONE c.timezone) AS high
        FROM assignment a
        JOIN item i USING (item_id)
        JOIN rating_scope USING (scope_id)
        JOIN account c USING (account_id)
        CROSS JOIN LATERAL generate_series(
            date_trunc('month', lower(a.valid) AT TIME ZONE c.timezone),
            coalesce(upper(a.valid), greatest(now(), (
                SELECT to_timestamp(max(win_ms) / 1000) FROM server_state t
                WHERE t.server_id = a.server_id))) AT TIME ZONE c.timezone,
            interval '1 month') AS m (at)
    ) x
    WHERE low < high;

-- What windows that retention has dropped came to in hours that belong to an account or a month in part.
CREATE TABLE account_usage_dropped (
    account_id text NOT NULL,
    month      date NOT NULL,
    meter      text NOT NULL,
    quantity   numeric NOT NULL,
    PRIMARY KEY (account_id, month, meter)
);

-- Windows of the hours that are an account's or a month's in part; a window is whose its beginning is.
CREATE VIEW account_edge AS
    SELECT m.account_id, m.month, w.window_start, w.set_id, w.qty
    FROM account_month m
    JOIN usage_row w ON w.server_id = m.server_id
     AND w.window_start >= m.low AND w.window_start < least(m.first_hour, m.high)
    UNION ALL
    SELECT m.account_id, m.month, w.window_start, w.set_id, w.qty
    FROM account_month m
    JOIN usage_row w ON w.server_id = m.server_id
     AND w.window_start >= greatest(m.first_hour, m.end_hour) AND w.window_start < m.high;

-- What the servers of an account used in its months.
CREATE VIEW account_usage_month AS
    SELECT account_id, month, meter, sum(quantity) AS quantity
    FROM (
        SELECT r.account_id, r.month, s.meter, r.qty[s.ix] AS quantity
        FROM (
            SELECT m.account_id, m.month, h.set_id, h.qty
            FROM account_month m
            JOIN usage_hour_row h ON h.server_id = m.server_id
             AND h.hour >= m.first_hour AND h.hour < m.end_hour
            UNION ALL
            SELECT account_id, month, set_id, qty::numeric[] FROM account_edge
        ) r
        JOIN series s USING (set_id)
        UNION ALL
        SELECT account_id, month, meter, quantity FROM account_usage_dropped
    ) whole_hours_and_edges
    GROUP BY 1, 2, 3;
