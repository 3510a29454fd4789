-- Scopes rented in the month (of the customer's zone), and how many of them are sealed.
WITH month AS (
    SELECT account_id, (nullif(${month:sqlstring}, '') || '-01')::timestamp AT TIME ZONE timezone AS low,
           ((nullif(${month:sqlstring}, '') || '-01')::timestamp + interval '1 month') AT TIME ZONE timezone AS high
    FROM account
), rented AS (
    SELECT DISTINCT s.scope_id, m.low
    FROM month m JOIN rating_scope s USING (account_id) JOIN item i USING (scope_id)
    WHERE i.valid && tstzrange(m.low, m.high)
)
SELECT count(*) AS "rented", count(z.scope_id) AS "sealed", count(*) - count(z.scope_id) AS "open",
       100.0 * count(z.scope_id) / nullif(count(*), 0) AS "closed"
FROM rented r LEFT JOIN scope_seal z ON z.scope_id = r.scope_id AND z.period_start = r.low
