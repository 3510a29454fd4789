-- A file, what was lost after it, and a file that retention has removed.
INSERT INTO archive_span SELECT topic_id, 0, 5, 9, NULL, 4, 0, 1, 2, 'a.parquet', 100, 'digest', now(), now() FROM ingest_topic;
INSERT INTO archive_span (topic_id, part, first_offset, next_offset, follows) SELECT topic_id, 0, 9, 11, 9 FROM ingest_topic;
