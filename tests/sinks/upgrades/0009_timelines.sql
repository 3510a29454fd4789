-- A command on what 0002 rented, one on a sealed period, and a row of each timeline that is no longer current.
INSERT INTO timeline_change VALUES
    (nextval('timeline_change_number'), 'r-1', 'end', '{"item": "a-1"}', '2026-02-20Z', now(), 'op@host', 'moved',
     '{a-1,b-1}', '{"changed": true, "late": []}');
INSERT INTO timeline_late SELECT scope_id, period_start, 1 FROM scope_seal;
UPDATE item SET title = 'Server 1' WHERE item_id = 'a-1';
UPDATE assignment SET entered_at = now() WHERE item_id = 'a-1';
UPDATE item_price SET reason = 'contract' WHERE item_id = 'a-1';
UPDATE item_interval SET reason = 'two disks' WHERE item_id = 'a-1';
