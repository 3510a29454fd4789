-- Traffic of all servers, averaged over each finished hour (a UTC day when more than three are shown).
SELECT at AS time, CASE meter WHEN 'net.tx_bytes' THEN 'sent' ELSE 'received' END AS metric,
       sum(quantity) * 8 / CASE '$grain' WHEN 'usage_day' THEN 86400 ELSE 3600 END AS value
FROM $grain AS u (server_id, meter, resource, at, quantity, covered_ms)
WHERE at >= $__timeFrom() AND at < $__timeTo() AND meter IN ('net.rx_bytes', 'net.tx_bytes')
  AND at <= now() - CASE '$grain' WHEN 'usage_day' THEN interval '1 day' ELSE interval '1 hour' END
GROUP BY 1, 2
ORDER BY 1
