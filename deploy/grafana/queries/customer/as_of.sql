-- How far the figures of this page reach: the oldest and the newest rating of the account's scopes.
SELECT extract(epoch FROM min(as_of)) * 1000 AS "rated up to",
       extract(epoch FROM max(period_end)) * 1000 AS "period ends"
FROM account_charge
WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
