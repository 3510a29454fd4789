-- What 2026-01 calls a plan.
INSERT INTO catalog_plan VALUES ('2026-01', 'small', 'Small server');
