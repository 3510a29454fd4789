-- Use of each allowance, in percent: the fifteen nearest to their end.
SELECT item_id || ' ' || charge AS charge, 100 * used / included AS "used"
FROM account_charge
WHERE account_id = ${account:sqlstring} AND period_start = nullif(${period:sqlstring}, '')::timestamptz
  AND included > 0
ORDER BY 2 DESC, 1
LIMIT 15
