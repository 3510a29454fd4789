-- Share of the rented time that was observed, of the finished hours (or UTC days) in the time shown.
WITH rented AS (
    SELECT server_id, greatest(lower(valid), $__timeFrom()::timestamptz) AS low,
           least(upper(valid), $__timeTo()::timestamptz, now()) AS high
    FROM assignment WHERE valid && tstzrange($__timeFrom(), $__timeTo())
), observed AS (
    SELECT sum(ms) AS ms
    FROM (
        SELECT server_id, at, max(covered_ms) AS ms
        FROM $grain AS u (server_id, meter, resource, at, quantity, covered_ms)
        WHERE at >= $__timeFrom() AND at < $__timeTo()
        GROUP BY 1, 2
    ) u
    WHERE server_id IN (SELECT server_id FROM rented)
)
SELECT least(100, 100 * max(ms) / (1000 * nullif(sum(extract(epoch FROM high - low)), 0))) AS "observed"
FROM rented, observed
WHERE low < high
