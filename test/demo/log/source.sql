ANALYZE log.events;
SELECT readmodel.create_source('log', 'log.events', occurred_at => 'occurred_at',
                               metadata => $$jsonb_build_object('entity', entity)$$);
SELECT count(*) AS events, count(DISTINCT (entity, stream_id)) AS streams, pg_size_pretty(pg_table_size('log.events')) AS size
FROM log.events;
