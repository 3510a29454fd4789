-- Views alone: what they show is in the tables of 0010 and 0012.
SELECT 1;
