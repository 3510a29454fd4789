-- Flink SQL: series unnested, differences by LAG, sums by the TUMBLE window function.
-- As in its pages on Kafka, OVER aggregation, window functions and checkpointing.
SET 'execution.checkpointing.interval' = '10 s';
SET 'execution.checkpointing.dir' = 'file://${FOLDER}/checkpoints';
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
SET 'table.exec.source.idle-timeout' = '5 s';

CREATE TABLE reports (
    `server` STRING,
    `at_ms` BIGINT,
    `meter` ARRAY<STRING>,
    `resource` ARRAY<STRING>,
    `value` ARRAY<BIGINT>,
    `at` AS TO_TIMESTAMP_LTZ(`at_ms`, 3),
    WATERMARK FOR `at` AS `at` - INTERVAL '5' SECOND
) WITH (
    'connector' = 'kafka',
    'topic' = '${TOPIC}',
    'properties.bootstrap.servers' = '${BOOTSTRAP}',
    'properties.group.id' = '${NAME}',
    'scan.startup.mode' = 'earliest-offset',
    'scan.bounded.mode' = 'specific-offsets',
    'scan.bounded.specific-offsets' = '${ENDS}',
    'format' = 'json'
);

CREATE TABLE sums (
    `server` STRING,
    `meter` STRING,
    `resource` STRING,
    `window_s` BIGINT,
    `quantity` BIGINT
) WITH (
    'connector' = 'filesystem',
    'path' = 'file://${OUT}',
    'format' = 'csv'
);

CREATE TEMPORARY VIEW samples AS
SELECT r.`server`, r.`meter`[t.`n`] AS `meter`, r.`resource`[t.`n`] AS `resource`, r.`at`, t.`v`
FROM reports AS r CROSS JOIN UNNEST(r.`value`) WITH ORDINALITY AS t (`v`, `n`);

CREATE TEMPORARY VIEW gains AS
SELECT `server`, `meter`, `resource`, `at`,
       `v` - COALESCE(LAG(`v`) OVER (
           PARTITION BY `server`, `meter`, `resource` ORDER BY `at`), 0) AS `gain`
FROM samples;

INSERT INTO sums
SELECT `server`, `meter`, `resource`, UNIX_TIMESTAMP(CAST(`window_start` AS STRING)), SUM(`gain`)
FROM TABLE(TUMBLE(TABLE gains, DESCRIPTOR(`at`), INTERVAL '5' MINUTES))
GROUP BY `server`, `meter`, `resource`, `window_start`, `window_end`;
