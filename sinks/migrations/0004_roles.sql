-- What a customer may see: one account, whoever asks. Who the roles are and what else they may: sinks/roles.

CREATE SCHEMA customer;

-- Logins of customers who send SQL themselves: such a login sees this account, whatever it sets.
CREATE TABLE customer.login (
    login      text PRIMARY KEY,               -- a role of PostgreSQL
    account_id text NOT NULL REFERENCES account
);

-- Signs tickets. Made here, read by the two functions below alone; whoever deletes the row ends all tickets.
CREATE TABLE customer.key (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    inner_half bytea NOT NULL,
    outer_half bytea NOT NULL
);
INSERT INTO customer.key (inner_half, outer_half)
SELECT string_agg(uuid_send(gen_random_uuid()), ''), string_agg(uuid_send(gen_random_uuid()), '')
FROM generate_series(1, 4);

-- HMAC-SHA256 as RFC 2104 has it, with two halves that are random each for itself instead of derived from one.
CREATE FUNCTION customer.signature(said text) RETURNS text LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT encode(sha256(outer_half || sha256(inner_half || convert_to(said, 'UTF8'))), 'hex') FROM customer.key;
END;

-- What a portal that has recognised a customer sets as rackmeter.account before it asks in his name:
-- signature (64 hex digits) "." end in Unix seconds "." account. Bodies of SQL's own kind name their tables when
-- they are made, so no search_path and no temporary table can put others under them.
CREATE FUNCTION customer.ticket(account text, valid interval DEFAULT '5 minutes') RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT customer.signature(said) || '.' || said
    FROM (SELECT ceil(extract(epoch FROM statement_timestamp() + least(valid, interval '1 hour')))::bigint
                 || '.' || account) t (said);
END;

-- Whose rows this session may see; null is nobody's. A login's own account wins over any ticket.
CREATE FUNCTION customer.current_account() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT account_id FROM customer.login WHERE login = session_user),
        (SELECT CASE WHEN left(ticket, 65) = customer.signature(said) || '.'
                     THEN CASE WHEN split_part(said, '.', 1)::bigint >= extract(epoch FROM statement_timestamp())
                               THEN substr(said, strpos(said, '.') + 1) END
                END
         FROM (SELECT ticket, substr(ticket, 66) FROM current_setting('rackmeter.account', true) s (ticket))
              t (ticket, said)));
END;

REVOKE ALL ON FUNCTION customer.signature, customer.ticket, customer.current_account FROM PUBLIC;

-- Tables with row security (sinks/roles/grants.sql) are asked as who asks, so that their policies decide.
CREATE VIEW customer.account WITH (security_barrier, security_invoker) AS
    SELECT account_id, name, address, country, vat_id, currency, timezone FROM account;

CREATE VIEW customer.item WITH (security_barrier, security_invoker) AS
    SELECT item_id, scope_id, title, plan, lower(valid) AS rented_from, upper(valid) AS rented_to FROM item;

CREATE VIEW customer.invoice WITH (security_barrier, security_invoker) AS
    SELECT invoice_id, number, kind, period_start, period_end, currency, net, tax, gross, issued_at, document, digest
    FROM invoice;

CREATE VIEW customer.invoice_line WITH (security_barrier, security_invoker) AS
    SELECT invoice_id, position, line_key, net FROM invoice_line;

CREATE VIEW customer.alert WITH (security_barrier, security_invoker) AS
    SELECT alert_id, scope_id, period_start, threshold, kind, body, sampled_at, created_at, attempts,
           delivered_at, last_error, failed
    FROM alert_outbox;

-- Columnstore and row security exclude each other, so these ask as their owner and name the account themselves.
CREATE VIEW customer.charge WITH (security_barrier) AS
    SELECT scope_id, item_id, charge, period_start, period_end, as_of, unit, unit_size, used, included, net, currency
    FROM account_charge WHERE account_id = (SELECT customer.current_account());

-- Usage of the account's items in pieces of UTC hours: whole hours as they are stored, and the windows of hours
-- that were an item's in part. As everywhere, a window is whose its beginning is. Nobody is let in here.
-- OFFSET 0 keeps each server's part a query of its own, which reads that server's rows and no others.
CREATE VIEW customer.usage_piece AS
    WITH served AS NOT MATERIALIZED (
        SELECT a.item_id, a.server_id, lower(a.valid) AS low, coalesce(upper(a.valid), 'infinity') AS high,
               rm_bucket('1 hour', lower(a.valid) + interval '1 hour' - interval '1 microsecond') AS first_hour,
               coalesce(rm_bucket('1 hour', upper(a.valid)), 'infinity') AS end_hour
        FROM assignment a
        JOIN item USING (item_id)
        JOIN rating_scope s USING (scope_id)
        WHERE s.account_id = (SELECT customer.current_account())
    )
    SELECT s.item_id, h.hour, h.set_id, h.qty, h.covered_ms
    FROM served s
    CROSS JOIN LATERAL (
        SELECT hour, set_id, qty, covered_ms FROM usage_hour_row
        WHERE server_id = s.server_id AND hour >= s.first_hour AND hour < s.end_hour OFFSET 0) h
    UNION ALL
    SELECT s.item_id, rm_bucket('1 hour', w.window_start), w.set_id, w.qty::numeric[], w.covered_ms::bigint
    FROM served s
    CROSS JOIN LATERAL (VALUES (s.low, least(s.first_hour, s.high)),
                               (greatest(s.first_hour, s.end_hour), s.high)) AS edge (low, high)
    CROSS JOIN LATERAL (
        SELECT window_start, set_id, qty, covered_ms FROM usage_row
        WHERE server_id = s.server_id AND window_start >= edge.low AND window_start < edge.high OFFSET 0) w;

-- covered_ms is the observed time of the item's servers, the same on each series' row.
CREATE VIEW customer.usage_hour WITH (security_barrier) AS
    SELECT p.item_id, n.meter, n.resource, p.hour, sum(p.qty[n.ix]) AS quantity, max(p.covered_ms)::bigint AS covered_ms
    FROM (
        SELECT item_id, hour, set_id, qty, sum(covered_ms) OVER (PARTITION BY item_id, hour) AS covered_ms
        FROM customer.usage_piece
    ) p
    JOIN series n USING (set_id)
    GROUP BY 1, 2, 3, 4;

CREATE VIEW customer.usage_day WITH (security_barrier) AS
    SELECT p.item_id, n.meter, n.resource, p.day, sum(p.qty[n.ix]) AS quantity, max(p.covered_ms)::bigint AS covered_ms
    FROM (
        SELECT item_id, day, set_id, qty, sum(covered_ms) OVER (PARTITION BY item_id, day) AS covered_ms
        FROM (SELECT *, rm_bucket('1 day', hour) AS day FROM customer.usage_piece) h
    ) p
    JOIN series n USING (set_id)
    GROUP BY 1, 2, 3, 4;

-- account_usage_month for one account, asked server by server.
CREATE VIEW customer.usage_month WITH (security_barrier) AS
    SELECT month, meter, sum(quantity) AS quantity
    FROM (
        SELECT m.month, n.meter, h.qty[n.ix] AS quantity
        FROM account_month m
        CROSS JOIN LATERAL (
            SELECT set_id, qty FROM usage_hour_row
            WHERE server_id = m.server_id AND hour >= m.first_hour AND hour < m.end_hour OFFSET 0) h
        JOIN series n USING (set_id)
        WHERE m.account_id = (SELECT customer.current_account())
        UNION ALL
        SELECT m.month, n.meter, w.qty[n.ix]
        FROM account_month m
        CROSS JOIN LATERAL (VALUES (m.low, least(m.first_hour, m.high)),
                                   (greatest(m.first_hour, m.end_hour), m.high)) AS edge (low, high)
        CROSS JOIN LATERAL (
            SELECT set_id, qty FROM usage_row
            WHERE server_id = m.server_id AND window_start >= edge.low AND window_start < edge.high OFFSET 0) w
        JOIN series n USING (set_id)
        WHERE m.account_id = (SELECT customer.current_account())
        UNION ALL
        SELECT month, meter, quantity FROM account_usage_dropped
        WHERE account_id = (SELECT customer.current_account())
    ) p
    GROUP BY 1, 2;
