-- What the last close said of each account: those that a person has to look at first.
SELECT o.account_id AS account, o.status, o.scopes, o.checked AS comparisons,
       jsonb_array_length(o.differences) AS differences, array_to_string(o.reasons, ' ') AS why,
       extract(epoch FROM o.closed_at) * 1000 AS "closed at"
FROM close_outcome o JOIN account c USING (account_id)
WHERE to_char(o.period_start AT TIME ZONE c.timezone, 'YYYY-MM') = ${month:sqlstring}
ORDER BY array_position(ARRAY['parked', 'waiting', 'issued', 'exists', 'empty'], o.status), o.account_id
LIMIT 200
