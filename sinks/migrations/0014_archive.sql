-- Raw reports kept outside the broker for the time of disputes: which offsets lie in which file.

-- One row a file, or a stretch that retention removed before it was archived (no file). Each begins where another
-- ends, so a partition is without a gap from its first row on: the keys below see to it.
CREATE TABLE archive_span (
    topic_id     uuid NOT NULL REFERENCES ingest_topic,
    part         integer NOT NULL,
    first_offset bigint NOT NULL,
    next_offset  bigint NOT NULL,
    follows      bigint,                         -- first_offset; null: what was before was never archived
    records      bigint NOT NULL DEFAULT 0,
    holes        bigint NOT NULL DEFAULT 0,      -- offsets without a message: the markers of a transaction
    first_ms     bigint NOT NULL DEFAULT 0,      -- earliest and latest time stamp of its messages
    last_ms      bigint NOT NULL DEFAULT 0,
    file         text UNIQUE,                    -- below the folder of the archive; null: these are lost
    bytes        bigint NOT NULL DEFAULT 0,
    sha256       text NOT NULL DEFAULT '',
    archived_at  timestamptz NOT NULL DEFAULT now(),
    dropped_at   timestamptz,                    -- the file was removed by retention
    PRIMARY KEY (topic_id, part, first_offset),
    UNIQUE (topic_id, part, next_offset),
    FOREIGN KEY (topic_id, part, follows) REFERENCES archive_span (topic_id, part, next_offset),
    CHECK (first_offset < next_offset),
    CHECK (follows = first_offset)
);
CREATE UNIQUE INDEX archive_span_first ON archive_span (topic_id, part) WHERE follows IS NULL;
CREATE INDEX archive_span_time ON archive_span (last_ms) WHERE file IS NOT NULL AND dropped_at IS NULL;
