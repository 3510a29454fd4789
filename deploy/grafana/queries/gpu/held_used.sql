-- GPUs held by a process and GPUs executing kernels, averaged over each finished hour (or UTC day). Without MIG.
SELECT at AS time, CASE meter WHEN 'gpu.alloc_ms' THEN 'held' ELSE 'busy' END AS metric,
       sum(qty[ix]) / CASE '$grain' WHEN 'usage_day_row' THEN 86400000 ELSE 3600000 END AS value
FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
JOIN series USING (set_id)
WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter IN ('gpu.busy_ms', 'gpu.alloc_ms')
  AND resource NOT LIKE 'MIG-%'
  AND at <= now() - CASE '$grain' WHEN 'usage_day_row' THEN interval '1 day' ELSE interval '1 hour' END
GROUP BY at, meter
ORDER BY at, meter
