SELECT DISTINCT a.server_id
FROM rating_scope s JOIN item i USING (scope_id) JOIN assignment a USING (item_id)
WHERE s.account_id = ${account:sqlstring} AND a.valid && tstzrange($__timeFrom(), $__timeTo())
ORDER BY 1
