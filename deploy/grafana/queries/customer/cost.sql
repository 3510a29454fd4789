-- What the period has come to, before tax, as of the rating that is furthest behind.
SELECT to_char(sum(net), 'FM999G999G990D00') || ' ' || currency AS "so far, net"
FROM account_charge
WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
GROUP BY currency
