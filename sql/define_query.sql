-- define_query: what it makes, what it refuses, and that what it refuses changes nothing.
SELECT readmodel.create_event_table('define_events') IS NOT NULL AS created;
SELECT readmodel.create_source('define', 'define_events');
SELECT readmodel.create_event_table('define_others') IS NOT NULL AS created;
SELECT readmodel.create_source('define other', 'define_others');
CREATE FUNCTION define_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$ SELECT jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1) $$;

CREATE VIEW define_catalog AS
    SELECT q.name, s.name AS source, q.view, q.options, q.newest, q.serving, g.generation, g.updater, g.key_expression, g.key_type,
           g.key_is_array, g.event_types, g.search_path, g.version
      FROM readmodel_catalog.query q
      JOIN readmodel_catalog.source s USING (source_id)
      JOIN readmodel_catalog.generation g USING (query_id)
     WHERE s.name LIKE 'define%' ORDER BY q.name, g.generation;

-- A new query, in a transaction that no worker sees: generation 1 is the newest and serves.
BEGIN;
SELECT readmodel.define_query('user-orders', 'define', 'define_count(jsonb, jsonb)', 'stream');
\x
SELECT * FROM define_catalog;
\x
SELECT position, events_applied, phase FROM readmodel_catalog.generation JOIN readmodel_catalog.checkpoint USING (generation_id)
  JOIN readmodel_catalog.query USING (query_id) WHERE name = 'user-orders';
-- its view and its table
SELECT attname, format_type(atttypid, atttypmod), attnotnull, collation_for.name
  FROM pg_attribute LEFT JOIN LATERAL (SELECT collname AS name FROM pg_collation c WHERE c.oid = attcollation) collation_for ON true
 WHERE attrelid = readmodel.state_table('user-orders') AND attnum > 0 ORDER BY attnum;
SELECT pg_get_indexdef(indexrelid) ~ '^CREATE UNIQUE INDEX g_\d+_pkey ON readmodel_data.g_\d+ USING btree \(id\)$' AS primary_key
  FROM pg_index WHERE indrelid = readmodel.state_table('user-orders');
SELECT relkind, reloptions, pg_get_userbyid(relowner) = current_user AS own FROM pg_class
 WHERE oid IN (readmodel.state_table('user-orders'), 'readmodel."user-orders"'::regclass) ORDER BY relkind;
SELECT regexp_replace(pg_get_viewdef('readmodel."user-orders"'), '\d+', 'N', 'g');
-- the view can be read at once, and shows what the table has
DO $$ BEGIN EXECUTE format('INSERT INTO %s VALUES (''a'', ''{"n": 1}'', 7)', readmodel.state_table('user-orders')); END $$;
SELECT id, state, position, updated_at = now() AS now FROM readmodel."user-orders";
-- the guard is looked at once in a statement, not for each row
CREATE FUNCTION pg_temp.one_time_filter(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN regexp_replace(plan->0->'Plan'->>'One-Time Filter', '\d+', 'N');
END $$;
SELECT pg_temp.one_time_filter('SELECT * FROM readmodel."user-orders" WHERE state->>''n'' > ''1''');
-- the same definition again, in other words
SELECT readmodel.define_query(name => 'user-orders', source => 'define', updater => 'define_count(jsonb, jsonb)', key => '  "stream" ', options => NULL);
-- another one: the newest moves, what is served does not
SELECT readmodel.define_query('user-orders', 'define', 'define_count(jsonb, jsonb)', 'stream', '{b,a}', options => '{"version": "2"}');
SELECT name, newest, serving, generation, event_types, version FROM define_catalog;
SELECT count(*) FROM readmodel."user-orders";
-- the first again: it is known, and says how to go back; what the newer one set stays
SELECT readmodel.define_query('user-orders', 'define', 'define_count(jsonb, jsonb)', 'stream', options => '{"while_rebuilding": "serve_previous"}');
SELECT name, options, newest, serving, generation FROM define_catalog;
SELECT readmodel.state_table('user-orders') <> readmodel.state_table('user-orders', 2) AS two_tables;
SELECT generation, length(definition_hash), serving, position, bytes > 0 AS bytes, defined_at = now() AS now, ready_at
  FROM readmodel.generations('user-orders');
-- a third build of the newest
SELECT readmodel.rebuild('user-orders');
SELECT generation, key_expression, event_types, version, serving FROM define_catalog;
SELECT count(DISTINCT definition_hash) FROM readmodel.generations('user-orders');
SELECT readmodel.define_query('user-orders', 'define', 'define_count(jsonb, jsonb)', 'stream', '{a,b}', options => '{"version": "2"}');
ROLLBACK;
SELECT count(*) FROM define_catalog;
SELECT count(*) FROM pg_class WHERE relname = 'user-orders';

-- The keys' types make the tables' types.
BEGIN;
SELECT readmodel.define_query('k1', 'define', 'define_count(jsonb, jsonb)', $$(data->>'id')::uuid$$),
       readmodel.define_query('k2', 'define', 'define_count(jsonb, jsonb)', $$(data->>'n')::int$$),
       readmodel.define_query('k3', 'define', 'define_count(jsonb, jsonb)', $$ARRAY[stream, type]$$);
SELECT name, key_type, key_is_array, (SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = view AND attnum = 1) FROM define_catalog;
-- another key type for a query whose view others need is refused; without them it is accepted
CREATE VIEW define_dependent AS SELECT id FROM readmodel.k1;
SAVEPOINT dependent;
SELECT readmodel.define_query('k1', 'define', 'define_count(jsonb, jsonb)', 'stream');
ROLLBACK TO dependent;
SELECT newest FROM define_catalog WHERE name = 'k1';
DROP VIEW define_dependent;
SELECT readmodel.define_query('k1', 'define', 'define_count(jsonb, jsonb)', 'stream');
ROLLBACK;

-- Names: any text of 1 to 63 bytes, as it is given.
BEGIN;
SELECT readmodel.define_query(name, 'define', 'define_count(jsonb, jsonb)', 'stream')
  FROM unnest(ARRAY['Name', 'two words', 'a"quote', 'semi;colon''s', '$x$', 'select', ' ', 'größe', repeat('x', 63)]) name;
SELECT name, view FROM define_catalog ORDER BY name COLLATE "C";
SELECT count(*) FROM readmodel."a""quote", readmodel." ", readmodel."semi;colon's";
ROLLBACK;
SELECT readmodel.define_query('', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query(NULL, 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query(repeat('x', 64), 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query(repeat('ö', 32), 'define', 'define_count(jsonb, jsonb)', 'stream');

-- Missing and unknown arguments.
SELECT readmodel.define_query('q', NULL, 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'nosuch', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define');
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)');
SELECT readmodel.define_query('q', 'define', 0::oid::regprocedure, 'stream');
SELECT readmodel.define_query('q', 'define', 1::oid::regprocedure, 'stream');
SELECT readmodel.define_query('q', 'define', spec => '{"key": "$.id"}');
-- Updaters of a wrong kind.
CREATE FUNCTION define_strict(jsonb, jsonb) RETURNS jsonb LANGUAGE sql STRICT AS 'SELECT $1';
CREATE FUNCTION define_set(jsonb, jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION define_one(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION define_json(json, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $2';
CREATE FUNCTION define_text(jsonb, jsonb) RETURNS text LANGUAGE sql AS 'SELECT $2::text';
CREATE FUNCTION define_variadic(jsonb, VARIADIC jsonb[]) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE PROCEDURE define_procedure(jsonb, jsonb) LANGUAGE sql AS 'SELECT $1';
CREATE AGGREGATE define_aggregate(jsonb) (SFUNC = define_count, STYPE = jsonb);
SELECT readmodel.define_query('q', 'define', 'define_strict(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_set(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_one(jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_json(json, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_text(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_variadic(jsonb, jsonb[])', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_procedure(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_aggregate(jsonb)', 'stream');
CREATE FUNCTION pg_temp.define_temporary(jsonb, jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
\set VERBOSITY sqlstate
SELECT readmodel.define_query('q', 'define', 'pg_temp.define_temporary(jsonb, jsonb)', 'stream');
\set VERBOSITY default
-- Event types.
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream', '{}');
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream', '{a,NULL}');
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream', '{a,b,a}');

-- Options: the names of all are known, what is not honoured yet is accepted at its default only.
CREATE FUNCTION define_option(options jsonb, OUT result text) LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    PERFORM readmodel.define_query('option test', 'define', 'define_count(jsonb, jsonb)', 'stream', options => options);
    SELECT q.options::text INTO result FROM readmodel_catalog.query q WHERE name = 'option test';
    RAISE EXCEPTION USING ERRCODE = 'TEST0';
EXCEPTION
    WHEN SQLSTATE 'TEST0' THEN
        result := 'stored: ' || result;
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        result := concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset tuples_only on
\pset format unaligned
SELECT define_option(o::jsonb) FROM unnest(ARRAY[
    '{}', '{"version": "1"}', '{"schema": "public"}', '{"while_rebuilding": "unavailable"}', '{"while_rebuilding": "serve_previous"}',
    '{"on_change": "rebuild", "on_error": "fail", "max_dead_letters": 1000, "rebuild_timeout": "300 s", "updater_timeout": null, "max_lag": null, "parallel": 1, "keep_generations": 1}'
]) o;
SELECT define_option(o::jsonb) FROM unnest(ARRAY[
    '{"on_change": "gate"}', '{"on_error": "skip"}', '{"max_dead_letters": 5}', '{"rebuild_timeout": "10 min"}', '{"updater_timeout": "1 s"}',
    '{"max_lag": "1 min"}', '{"parallel": 2}', '{"keep_generations": 0}'
]) o;
SELECT define_option(o::jsonb) FROM unnest(ARRAY[
    '[]', '1', 'null', '{"nosuch": 1}', '{"nosuch": null}', '{"Version": "1"}', '{"version": 1}', '{"schema": ""}', '{"schema": 1}',
    '{"schema": "nosuch"}', '{"schema": "readmodel_data"}', '{"schema": "pg_catalog"}', '{"schema": "pg_temp"}',
    '{"while_rebuilding": "yes"}', '{"while_rebuilding": true}', '{"on_change": "no"}', '{"on_error": 1}', '{"max_dead_letters": -1}',
    '{"max_dead_letters": 1.5}', '{"max_dead_letters": "1000"}', '{"rebuild_timeout": "soon"}', '{"rebuild_timeout": 300}',
    '{"rebuild_timeout": "-5 min"}', '{"updater_timeout": "0"}', '{"max_lag": "1000000 years"}', '{"parallel": 0}', '{"parallel": 65}',
    '{"keep_generations": 101}'
]) o;
\pset tuples_only off
\pset format aligned

-- Options outside of the hash take effect at once, and omitted ones are at their defaults again.
CREATE SCHEMA define_schema;
BEGIN;
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream', options => '{"schema": "define_schema", "while_rebuilding": "serve_previous"}');
SELECT view, options, newest FROM define_catalog;
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT view, options, newest FROM define_catalog;
-- a view that its owner dropped comes back
DROP VIEW readmodel.q;
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT count(*) FROM readmodel.q;
-- the source of a query stays
SELECT readmodel.define_query('q', 'define other', 'define_count(jsonb, jsonb)', 'stream');
ROLLBACK;
-- a name that is taken
CREATE TABLE define_schema.taken ();
SELECT readmodel.define_query('taken', 'define', 'define_count(jsonb, jsonb)', 'stream', options => '{"schema": "define_schema"}');
SELECT readmodel.define_query('user-orders', 'nosuch', 'define_count(jsonb, jsonb)', 'stream');

-- None of the refused ones left anything behind.
SELECT count(*) FROM define_catalog;

-- The caller's path is captured: schemas by name, temporary ones last.
CREATE TEMP TABLE define_temporary ();
SET search_path = "$user", nosuch, pg_temp, define_schema, public;
BEGIN;
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT search_path FROM define_catalog;
SET LOCAL search_path = '';
SELECT readmodel.define_query('p', 'define', 'public.define_count(jsonb, jsonb)', 'stream');
SELECT name, search_path FROM public.define_catalog;
ROLLBACK;
RESET search_path;

-- What other functions say of a query that is not there.
SELECT readmodel.drop_query('nosuch');
SELECT readmodel.drop_query(NULL);
SELECT readmodel.rebuild('nosuch');
SELECT readmodel.retry('nosuch');
SELECT readmodel.pause('nosuch');
SELECT readmodel.resume(NULL);
SELECT readmodel.generations('nosuch');
SELECT readmodel.state_table('nosuch');
BEGIN;
SELECT readmodel.define_query('q', 'define', 'define_count(jsonb, jsonb)', 'stream');
SELECT readmodel.retry('q');
SELECT readmodel.resume('q');
SELECT readmodel.pause('q');
SELECT readmodel.pause('q');
SELECT readmodel.readiness('q');
SELECT readmodel.resume('q');
SELECT readmodel.readiness('q');
SELECT readmodel.state_table('q', 2);
ROLLBACK;

DROP SCHEMA define_schema CASCADE;
DROP VIEW define_catalog;
SELECT readmodel.drop_source('define'), readmodel.drop_source('define other');
DROP TABLE define_events, define_others, define_temporary;
DROP FUNCTION pg_temp.define_temporary;
DROP AGGREGATE define_aggregate(jsonb);
DROP PROCEDURE define_procedure;
DROP FUNCTION define_option, define_count, define_strict, define_set, define_one, define_json, define_text, define_variadic;
