-- get(): ids of all types, NULL where nothing is, and errors that say why a query may not be read.
SET client_min_messages = warning;
SELECT readmodel.create_event_table('get_events');
SELECT readmodel.create_source('get_source', 'get_events');
CREATE FUNCTION get_last(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$SELECT event->'data'$$;
SELECT readmodel.define_query('get text', 'get_source', 'get_last(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('get_bigint', 'get_source', 'get_last(jsonb, jsonb)', $$(data->>'number')::bigint$$);
SELECT readmodel.define_query('get_uuid', 'get_source', 'get_last(jsonb, jsonb)', $$(data->>'uuid')::uuid$$);
SELECT last_position FROM readmodel.append('get_events', '42',
    '[{"type": "A", "data": {"number": 42, "uuid": "6f0b1ad2-4b5c-4d0e-9f3a-0c1d2e3f4a5b"}}]');
SELECT last_position FROM readmodel.append('get_events', '6f0b1ad2-4b5c-4d0e-9f3a-0c1d2e3f4a5b', '[{"type": "A", "data": {"text": "uuid"}}]');
SELECT readmodel.wait_for(name, 2) FROM unnest('{get text,get_bigint,get_uuid}'::text[]) name;

-- A literal is text; an integer finds the bigint overload, a uuid its own. Each finds the key whatever its type is.
SELECT readmodel.get('get text', '42') AS literal, readmodel.get('get text', 42) AS number,
    readmodel.get('get text', '6F0B1AD2-4B5C-4D0E-9F3A-0C1D2E3F4A5B'::uuid) AS uuid;
SELECT readmodel.get('get_bigint', '42') AS literal, readmodel.get('get_bigint', 42) AS number,
    readmodel.get('get_bigint', 42::smallint) AS small;
SELECT readmodel.get('get_uuid', '6F0B1AD2-4B5C-4D0E-9F3A-0C1D2E3F4A5B') AS literal,
    readmodel.get('get_uuid', '6f0b1ad2-4b5c-4d0e-9f3a-0c1d2e3f4a5b'::uuid) AS uuid;
SELECT readmodel.get(name => 'get text', id => '42', definition_hash => definition_hash)
    FROM readmodel.status() WHERE name = 'get text';

-- Absent.
SELECT readmodel.get('get text', 'none') AS none, readmodel.get('get text', NULL) AS no_id, readmodel.get('get_bigint', -1) AS number;

-- No value of the key's type.
SELECT readmodel.get('get_bigint', 'abc');
SELECT readmodel.get('get_bigint', '6f0b1ad2-4b5c-4d0e-9f3a-0c1d2e3f4a5b'::uuid);
SELECT readmodel.get('get_bigint', '99999999999999999999');
SELECT readmodel.get('get_uuid', '42');
SELECT readmodel.get('get_uuid', 42);

SELECT readmodel.get('nowhere', '42');
SELECT readmodel.get(NULL, '42');
SELECT readmodel.get('get text', '42', 'nohash');

-- State and status belong to one snapshot: a transaction goes on seeing both as they were.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT readmodel.get('get text', '42') IS NOT NULL AS there, readmodel.readiness('get text');
ROLLBACK;

-- The lookup is planned once, and planned anew when the table changes under it.
DO $$ BEGIN EXECUTE format('CREATE INDEX ON %s (updated_at)', readmodel.state_table('get text')); END $$;
SELECT readmodel.get('get text', '42') IS NOT NULL AS there;

-- Rights: SELECT on the view, nothing else.
CREATE ROLE readmodel_test_get;
SET ROLE readmodel_test_get;
SELECT readmodel.get('get text', '42');
RESET ROLE;
GRANT SELECT ON readmodel."get text" TO readmodel_test_get;
SET ROLE readmodel_test_get;
SELECT readmodel.get('get text', '42') IS NOT NULL AS there;
RESET ROLE;

-- Without the view: its owner alone, and whoever has his rights. The query does not vanish from the reports.
CREATE ROLE readmodel_test_get_owner;
SELECT readmodel.grant_definer('readmodel_test_get_owner');
GRANT SELECT ON get_events TO readmodel_test_get_owner;
SET ROLE readmodel_test_get_owner;
SELECT readmodel.define_query('get viewless', 'get_source', 'get_last(jsonb, jsonb)', 'stream');
SELECT readmodel.wait_for('get viewless', 2);
DROP VIEW readmodel."get viewless";
SELECT readmodel.get('get viewless', '42') IS NOT NULL AS there, readmodel.readiness('get viewless'), readmodel.ready('{get viewless}');
SELECT name, status FROM readmodel.status();
SET ROLE readmodel_test_get;
SELECT readmodel.get('get viewless', '42');
SELECT readmodel.readiness('get viewless');
SELECT readmodel.ready('{get viewless}');
SELECT count(*) FROM readmodel.status() WHERE name = 'get viewless';
RESET ROLE;
SELECT readmodel.get('get viewless', '42') IS NOT NULL AS there;
SELECT readmodel.drop_query('get viewless');
REVOKE SELECT ON get_events FROM readmodel_test_get_owner;
SELECT readmodel.revoke_definer('readmodel_test_get_owner');
DROP ROLE readmodel_test_get_owner;

-- A definition that is on its way: unavailable by default, the previous one with serve_previous.
BEGIN;
SELECT readmodel.define_query('get text', 'get_source', 'get_last(jsonb, jsonb)', 'stream', options => '{"version": "2"}');
SELECT readmodel.ready('{get text}'), readmodel.readiness('get text');
SAVEPOINT unavailable;
\set VERBOSITY sqlstate
SELECT readmodel.get('get text', '42');
\set VERBOSITY default
ROLLBACK TO unavailable;
SELECT readmodel.define_query('get text', 'get_source', 'get_last(jsonb, jsonb)', 'stream',
    options => '{"version": "2", "while_rebuilding": "serve_previous"}');
SELECT readmodel.get('get text', '42') IS NOT NULL AS there, readmodel.ready('{get text}'), readmodel.readiness('get text');
SELECT status, serving_status, generation, serving_generation FROM readmodel.status() WHERE name = 'get text';
ROLLBACK;

SELECT readmodel.drop_query(name) FROM unnest('{get text,get_bigint,get_uuid}'::text[]) name;
SELECT readmodel.drop_source('get_source');
DROP TABLE get_events;
DROP FUNCTION get_last;
DROP ROLE readmodel_test_get;
