-- Usage that came for windows which were finished, by the day of the window and the reason.
SELECT rm_bucket('1 day', window_start) AS time, reason AS metric, count(*) AS value
FROM usage_late
WHERE window_start >= $__timeFrom() AND window_start < $__timeTo()
GROUP BY 1, 2
ORDER BY 1, 2
