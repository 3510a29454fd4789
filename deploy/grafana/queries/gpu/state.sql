-- GPUs and MIG instances that reported in the time shown, and how busy the held ones were. A GPU in MIG mode has no
-- utilisation of its own: its instances count for themselves and not into the share.
SELECT count(DISTINCT resource) FILTER (WHERE resource NOT LIKE 'MIG-%') AS "GPUs",
       count(DISTINCT resource) FILTER (WHERE resource LIKE 'MIG-%') AS "MIG instances",
       100 * sum(q) FILTER (WHERE meter = 'gpu.busy_ms')
           / nullif(sum(q) FILTER (WHERE meter = 'gpu.alloc_ms' AND resource NOT LIKE 'MIG-%'), 0)
           AS "busy while held"
FROM (
    SELECT server_id, meter, resource, sum(qty[ix]) AS q
    FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
    JOIN series USING (set_id)
    WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter IN ('gpu.busy_ms', 'gpu.alloc_ms')
    GROUP BY 1, 2, 3
) u
