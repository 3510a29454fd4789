SELECT name || ' (' || account_id || ')' AS __text, account_id AS __value FROM account ORDER BY 1
