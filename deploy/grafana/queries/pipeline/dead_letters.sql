-- Refused reports by reason and the time they were appended.
SELECT to_timestamp(append_ms / $__interval_ms * $__interval_ms / 1000.0) AS time, reason AS metric,
       count(*) AS value
FROM dead_letter
WHERE append_ms >= ${__from} AND append_ms < ${__to}
GROUP BY 1, 2
ORDER BY 1, 2
