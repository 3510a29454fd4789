-- What a server used in each window of a day: finished, late and open.
SELECT n.meter, n.resource, (extract(epoch FROM u.window_start) * 1000)::bigint, sum(u.qty[n.ix])
FROM usage_row u
JOIN series_set t USING (set_id)
CROSS JOIN LATERAL unnest(t.meter, t.resource) WITH ORDINALITY AS n (meter, resource, ix)
WHERE u.server_id = %(server)s AND u.window_start >= %(low)s AND u.window_start < %(high)s
GROUP BY 1, 2, 3 HAVING sum(u.qty[n.ix]) <> 0
