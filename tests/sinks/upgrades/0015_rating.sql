-- The accrual of 0002 was rated before it had marks; the price of 0002 says its tax in itself.
UPDATE accrual SET marks = '{"i-1/traffic": [["2026-03-01T00:00:00Z", "5"]]}';
