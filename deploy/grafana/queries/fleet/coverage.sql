-- Share of the rented time that was observed, of the hours (or UTC days) that begin in the time shown.
WITH rented AS (
    SELECT server_id, greatest(lower(valid), $__timeFrom()::timestamptz) AS low,
           least(upper(valid), $__timeTo()::timestamptz, now()) AS high
    FROM assignment WHERE valid && tstzrange($__timeFrom(), $__timeTo())
), observed AS (
    SELECT sum(covered_ms::integer) AS ms
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    WHERE at >= $__timeFrom() AND at < $__timeTo()
      AND server_id IN (SELECT server_id FROM rented)
)
SELECT least(100, 100 * max(ms) / (1000 * nullif(sum(extract(epoch FROM high - low)), 0))) AS "observed"
FROM rented, observed
WHERE low < high
