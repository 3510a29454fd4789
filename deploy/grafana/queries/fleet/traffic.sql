-- Traffic of all servers, averaged over each finished hour (a UTC day when more than three are shown).
SELECT at AS time, CASE meter WHEN 'net.tx_bytes' THEN 'sent' ELSE 'received' END AS metric,
       sum(qty[ix]) * 8 / CASE '$grain' WHEN 'usage_day_row' THEN 86400 ELSE 3600 END AS value
FROM $grain AS u (server_id, at, set_id, qty, covered_ms)
JOIN series USING (set_id)
WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter IN ('net.rx_bytes', 'net.tx_bytes')
  AND at <= now() - CASE '$grain' WHEN 'usage_day_row' THEN interval '1 day' ELSE interval '1 hour' END
GROUP BY at, meter
ORDER BY at, meter
