-- Averages of one server's finished windows, the 95th percentile of the greater direction, and the samples above it:
-- of N windows the highest floor(5 N / 100) are let go.
WITH windows AS (
    SELECT window_start, sum(qty[ix]) FILTER (WHERE meter = 'net.tx_bytes') * 8 / 300 AS tx,
           sum(qty[ix]) FILTER (WHERE meter = 'net.rx_bytes') * 8 / 300 AS rx
    FROM usage_row
    JOIN series USING (set_id)
    WHERE server_id = ${server:sqlstring} AND meter IN ('net.tx_bytes', 'net.rx_bytes')
      AND window_start >= $__timeFrom() AND window_start < $__timeTo()
      AND window_start < (SELECT to_timestamp(max(win_ms) / 1000) FROM server_state
                          WHERE server_id = ${server:sqlstring})
    GROUP BY 1
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY tx DESC NULLS LAST) AS tx_rank,
           row_number() OVER (ORDER BY rx DESC NULLS LAST) AS rx_rank, 1 + 5 * count(*) OVER () / 100 AS kept
    FROM windows
), line AS (
    SELECT max(tx) FILTER (WHERE tx_rank = kept) AS tx, max(rx) FILTER (WHERE rx_rank = kept) AS rx
    FROM ranked
)
SELECT r.window_start AS time, r.tx AS "sent", r.rx AS "received",
       greatest(l.tx, l.rx) AS "95th percentile",
       CASE WHEN greatest(r.tx, r.rx) > greatest(l.tx, l.rx) THEN greatest(r.tx, r.rx) END AS "burst samples"
FROM ranked r, line l
ORDER BY 1
