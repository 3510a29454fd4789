-- Every chain of these servers: what its windows sum to and its highest reading. The view
-- conservation_violation says the same for everyone; here each server is looked at alone, which is quick.
SELECT server_id, meter, resource, coalesce(w.quantity, 0), coalesce(r.reading, 0)
FROM (
    SELECT server_id, meter, resource, sum(quantity) AS quantity FROM usage
    WHERE server_id = ANY(%(servers)s) GROUP BY 1, 2, 3
) w
FULL JOIN (
    SELECT server_id, meter, resource, sum(reading) AS reading FROM chain
    WHERE server_id = ANY(%(servers)s) GROUP BY 1, 2, 3
) r USING (server_id, meter, resource)
ORDER BY 1, 2, 3
