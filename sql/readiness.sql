-- The status of queries comes from a real worker here: every wait is a wait_for(), which ends when the worker has done it.
\set VERBOSITY default
SET client_min_messages = warning;
SELECT readmodel.create_event_table('readiness_events');
SELECT readmodel.create_source('readiness', 'readiness_events');
CREATE FUNCTION readiness_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event->>'type' = 'Broken' THEN
        RAISE division_by_zero USING MESSAGE = 'secret ' || (event->'data'->>'secret');
    END IF;
    RETURN jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1);
END $$;

-- ready() is about all queries that one may see.
CREATE VIEW readiness_agrees AS
    SELECT readmodel.ready() = coalesce(bool_and(readmodel.ready(ARRAY[name])), true) AS agrees FROM readmodel.status();
SELECT * FROM readiness_agrees;
SELECT readmodel.readiness('readiness_all');
SELECT readmodel.readiness(NULL);

-- Within the transaction that defines it, no worker can know of it.
BEGIN;
SELECT readmodel.define_query('readiness_all', 'readiness', 'readiness_count(jsonb, jsonb)', 'stream');
SELECT readmodel.readiness('readiness_all') IN ('rebuilding', 'stalled') AS not_ready;
SELECT readmodel.ready('{readiness_all}'), agrees FROM readiness_agrees;
SELECT readmodel.wait_for('readiness_all', 0);
ROLLBACK;

SELECT readmodel.define_query('readiness_all', 'readiness', 'readiness_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('readiness_some', 'readiness', 'readiness_count(jsonb, jsonb)', 'stream', event_types => '{Broken}');
SELECT last_position FROM readmodel.append('readiness_events', 's1', '[{"type": "A"}, {"type": "A"}, {"type": "A"}]');
SELECT readmodel.wait_for('readiness_all', 3) >= 3 AS reached;
SELECT readmodel.readiness('readiness_all'), readmodel.ready('{readiness_all}');

-- A query that reads none of the events is advanced over them all the same.
SELECT readmodel.wait_for('readiness_some', 3) >= 3 AS reached;
SELECT * FROM readiness_agrees;
SELECT readmodel.ready('{readiness_all,readiness_some}'), readmodel.ready('{}') AS none;

-- Unknown is not ready.
SELECT readmodel.ready('{readiness_all,nowhere}'), readmodel.ready('{readiness_all,NULL}') AS with_null;

-- One definition of several.
SELECT readmodel.readiness('readiness_all', definition_hash) FROM readmodel.status() WHERE name = 'readiness_all';
SELECT readmodel.readiness('readiness_all', 'nohash');

-- wait_for(): its arguments, and where it would wait for itself.
SELECT readmodel.wait_for('readiness_all', 1000, '10 ms');
SELECT readmodel.wait_for('readiness_all', 1000, '0');
SELECT readmodel.wait_for('readiness_all', 1, '-1 s');
SELECT readmodel.wait_for('readiness_all', 1, '-1 month');
SELECT readmodel.wait_for('readiness_all', 1, NULL);
SELECT readmodel.wait_for('readiness_all', NULL);
SELECT readmodel.wait_for(NULL, 1);
SELECT readmodel.wait_for('nowhere', 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT readmodel.wait_for('readiness_all', 1);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT readmodel.wait_for('readiness_all', 1);
ROLLBACK;
BEGIN;
INSERT INTO readiness_events (type, stream_id, version) VALUES ('A', 's2', 1);
SELECT readmodel.wait_for('readiness_all', 4);
ROLLBACK;
BEGIN;
SELECT nextval('readiness_events_position_seq') > 0 AS drawn;
SELECT readmodel.wait_for('readiness_all', 1);
ROLLBACK;
BEGIN;
SAVEPOINT drawn;
SELECT nextval('readiness_events_position_seq') > 0 AS drawn;
ROLLBACK TO drawn;
SELECT readmodel.wait_for('readiness_all', 1);
ROLLBACK;
SET statement_timeout = '100 ms';
SELECT readmodel.wait_for('readiness_all', 1000, '1 hour');
RESET statement_timeout;

-- A failed query is told at once, with code, SQLSTATE and position; the message is not for everybody, nor for errors.
SELECT last_position AS broken FROM readmodel.append('readiness_events', 's1', '[{"type": "Broken", "data": {"secret": "of s1"}}]') \gset
\set VERBOSITY sqlstate
SELECT readmodel.wait_for('readiness_all', :broken, '20 s');
SELECT readmodel.wait_for('readiness_some', :broken, '20 s');
SELECT readmodel.get('readiness_all', 's1');
\set VERBOSITY default
SELECT readmodel.readiness('readiness_all'), readmodel.ready(), readmodel.ready('{readiness_all}') AS this;
SELECT name, status, replace(reason, :'broken', 'N') AS reason, error_sqlstate, error_message, error_position = :broken AS there,
    "position" < :broken AS before_it
    FROM readmodel.status() WHERE name = 'readiness_all';

-- The shown state is what was applied before.
SELECT id, state FROM readmodel.readiness_all;

-- An updater's lock for the session goes with the worker's transaction.
CREATE FUNCTION readiness_locks(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock(4716);
    RETURN event->'position';
END $$;
SELECT readmodel.define_query('readiness_locks', 'readiness', 'readiness_locks(jsonb, jsonb)', 'stream');
SELECT readmodel.wait_for('readiness_locks', 3) >= 3 AS reached;
SELECT count(*) AS kept FROM pg_locks WHERE locktype = 'advisory' AND objid = 4716;
SELECT readmodel.drop_query('readiness_locks');
DROP FUNCTION readiness_locks;

DROP VIEW readiness_agrees;
SELECT readmodel.drop_query('readiness_all');
SELECT readmodel.drop_query('readiness_some');
SELECT readmodel.readiness('readiness_all');
SELECT readmodel.drop_source('readiness');
DROP TABLE readiness_events;
DROP FUNCTION readiness_count;
