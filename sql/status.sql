-- status(): its columns, and what it says when a source cannot be looked into.
SET client_min_messages = warning;
SELECT column_name, data_type FROM (
    SELECT ordinality, column_name, format_type(type, NULL) AS data_type
    FROM pg_proc, unnest(proargnames, proallargtypes) WITH ORDINALITY AS c(column_name, type, ordinality)
    WHERE oid = 'readmodel.status()'::regprocedure) columns ORDER BY ordinality;
SELECT readmodel.create_event_table('status_events');
SELECT readmodel.create_source('status_source', 'status_events');
CREATE FUNCTION status_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$SELECT jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1)$$;
SELECT readmodel.define_query('status_b', 'status_source', 'status_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('status_a', 'status_source', 'status_count(jsonb, jsonb)', $$'all'$$);

SELECT count(*) FROM readmodel.append('status_events', 's1', (SELECT jsonb_agg('{"type": "A"}'::jsonb) FROM generate_series(1, 10)));
SELECT count(*) FROM readmodel.append('status_events', 's2', (SELECT jsonb_agg('{"type": "A"}'::jsonb) FROM generate_series(1, 10)));
SELECT readmodel.wait_for(name, 20) FROM unnest('{status_a,status_b}'::text[]) name;

-- By name; one row each.
SELECT name, status, reason, generation, length(definition_hash) AS hash, serving_generation, serving_status, "position",
    settled_position >= 20 AS settled, head_position, lag, lag_seconds, events_applied, events_per_second >= 0 AS rate,
    estimated_seconds_remaining, rebuild_finished_at <= now() AS finished, instances, bytes > 0 AS has_bytes,
    worker_pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database()) AS worker_lives,
    error_sqlstate, error_message, error_position
    FROM readmodel.status() WHERE name LIKE 'status%';

-- Without events nothing is left to do, and it is known that nothing is.
SELECT readmodel.create_event_table('status_empty');
SELECT readmodel.create_source('status_empty', 'status_empty');
SELECT readmodel.define_query('status_c', 'status_empty', 'status_count(jsonb, jsonb)', 'stream');
SELECT name, "position", head_position, lag FROM readmodel.status() WHERE name = 'status_c';
SELECT readmodel.drop_query('status_c');
SELECT readmodel.drop_source('status_empty');
DROP TABLE status_empty;

-- A source that is broken for the moment: everything else is told.
BEGIN;
ALTER TABLE status_events RENAME "position" TO other;
SELECT name, generation, head_position, lag, lag_seconds, instances FROM readmodel.status() WHERE name LIKE 'status%';
ROLLBACK;
BEGIN;
ALTER TABLE status_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE ROLE readmodel_test_status;
GRANT CREATE ON SCHEMA public TO readmodel_test_status;
ALTER TABLE status_events OWNER TO readmodel_test_status;
SELECT name, generation, head_position, lag, instances FROM readmodel.status() WHERE name LIKE 'status%';
ROLLBACK;

SELECT readmodel.drop_query(name) FROM unnest('{status_a,status_b}'::text[]) name;
SELECT count(*) FROM readmodel.status() WHERE name LIKE 'status%';
SELECT readmodel.drop_source('status_source');
DROP TABLE status_events;
DROP FUNCTION status_count;
