-- Servers by their last reading. Silent: rented, and not read for 15 minutes, or never.
WITH server AS (
    SELECT r.server_id IS NOT NULL AS rented,
           coalesce(h.at_ms >= ${__to} - 15 * 60000, false) AS reports
    FROM (SELECT server_id FROM assignment WHERE valid @> $__timeTo()::timestamptz) r
    FULL JOIN server_state h USING (server_id)
)
SELECT count(*) FILTER (WHERE reports) AS "reporting",
       count(*) FILTER (WHERE rented AND NOT reports) AS "silent",
       count(*) FILTER (WHERE reports AND NOT rented) AS "reporting, rented by nobody"
FROM server
