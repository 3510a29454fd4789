-- A choice that is no longer current; the others are what the rows of 0002 say.
UPDATE item_choice SET entered_at = now() WHERE item_id = 'a-1' AND part = 'server';
