-- The definition hash: each ingredient changes it, and nothing else does.
SELECT readmodel.create_event_table('hash_events') IS NOT NULL AS created;
SELECT readmodel.create_source('hash', 'hash_events');
CREATE FUNCTION hash_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT event $$;
CREATE SCHEMA hash_schema;

-- What is defined at first.
CREATE FUNCTION hash_now(source text DEFAULT 'hash', updater regprocedure DEFAULT 'hash_updater(jsonb, jsonb)', key text DEFAULT 'stream',
                         event_types text[] DEFAULT '{a,b}', options jsonb DEFAULT '{"version": "1"}') RETURNS text
    LANGUAGE sql AS 'SELECT readmodel.definition_hash(source, updater, key, event_types, options => options)';
CREATE TABLE hash_first AS SELECT hash_now() AS hash;
SELECT hash ~ '^[0-9a-f]{64}$' AS well_formed FROM hash_first;

-- Runs a statement, compares the hash, and rolls the statement back.
CREATE FUNCTION hash_after(statement text, hash_call text DEFAULT 'public.hash_now()') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now_hash text;
    result text;
BEGIN
    EXECUTE statement;
    EXECUTE 'SELECT ' || hash_call INTO now_hash;
    RAISE EXCEPTION USING ERRCODE = 'TEST0';
EXCEPTION WHEN SQLSTATE 'TEST0' THEN
    RETURN CASE WHEN now_hash = (SELECT hash FROM public.hash_first) THEN 'same' ELSE 'changed' END;
END $$;

-- Arguments.
SELECT what, CASE hash WHEN (SELECT hash FROM hash_first) THEN 'same' ELSE 'changed' END FROM (VALUES
    ('nothing', hash_now()),
    ('spelling of the key', hash_now(key => '  "stream" /* as it is */')),
    ('order of event types', hash_now(event_types => '{b,a}')),
    ('option schema', hash_now(options => '{"version": "1", "schema": "hash_schema"}')),
    ('option while_rebuilding', hash_now(options => '{"version": "1", "while_rebuilding": "serve_previous"}')),
    ('key', hash_now(key => 'type')),
    ('type of the key', hash_now(key => 'ARRAY[stream]')),
    ('event types, fewer', hash_now(event_types => '{a}')),
    ('event types, other', hash_now(event_types => '{a,c}')),
    ('event types, joined', hash_now(event_types => '{"a,b"}')),
    ('event types, all', hash_now(event_types => NULL)),
    ('option version', hash_now(options => '{"version": "2"}')),
    ('option version, empty', hash_now(options => '{"version": ""}')),
    ('option version, none', hash_now(options => '{}'))) v (what, hash);
-- an empty version is not none
SELECT hash_now(options => '{"version": ""}') <> hash_now(options => '{}') AS differ;
-- items do not run into each other
SELECT hash_now(event_types => ARRAY['a' || E'\n- 1 b']) <> hash_now(event_types => '{a,b}') AS differ;

-- The updater.
SELECT statement, hash_after(statement) FROM unnest(ARRAY[
    $$CREATE OR REPLACE FUNCTION hash_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS ' SELECT event '$$,
    $$CREATE OR REPLACE FUNCTION hash_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS ' SELECT state '$$,
    $$CREATE OR REPLACE FUNCTION hash_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN event; END'$$,
    $$CREATE OR REPLACE FUNCTION hash_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC SELECT event; END$$,
    $$ALTER FUNCTION hash_updater IMMUTABLE$$,
    $$ALTER FUNCTION hash_updater SECURITY DEFINER$$,
    $$ALTER FUNCTION hash_updater SET work_mem = '4MB'$$,
    $$ALTER FUNCTION hash_updater COST 5$$,
    $$ALTER FUNCTION hash_updater PARALLEL SAFE$$,
    $$ALTER FUNCTION hash_updater LEAKPROOF$$,
    $$COMMENT ON FUNCTION hash_updater IS 'a comment'$$]) statement;
-- settings in another order are the same
ALTER FUNCTION hash_updater SET work_mem = '4MB' SET enable_sort = off;
CREATE TEMP TABLE hash_settings AS SELECT hash_now() AS hash;
ALTER FUNCTION hash_updater RESET ALL;
ALTER FUNCTION hash_updater SET enable_sort = off SET work_mem = '4MB';
SELECT hash = hash_now() AS same FROM hash_settings;
ALTER FUNCTION hash_updater RESET ALL;
-- its name and its schema
SELECT hash_after('ALTER FUNCTION hash_updater RENAME TO hash_renamed', $$public.hash_now(updater => 'hash_renamed(jsonb, jsonb)')$$) AS renamed,
       hash_after('ALTER FUNCTION hash_updater SET SCHEMA hash_schema', $$public.hash_now(updater => 'hash_schema.hash_updater(jsonb, jsonb)')$$) AS moved;
-- an atomic body: what it calls is written out
CREATE FUNCTION hash_called(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION hash_atomic(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC SELECT hash_called(event); END;
UPDATE hash_first SET hash = hash_now(updater => 'hash_atomic(jsonb, jsonb)');
SELECT statement, hash_after(statement, $$public.hash_now(updater => 'public.hash_atomic(jsonb, jsonb)')$$) FROM unnest(ARRAY[
    'SELECT 1',
    'CREATE OR REPLACE FUNCTION hash_atomic(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql BEGIN ATOMIC SELECT hash_called(state); END',
    'ALTER FUNCTION hash_called RENAME TO hash_called_now',
    'SET LOCAL search_path = public, hash_schema']) statement;
UPDATE hash_first SET hash = hash_now();

-- A spec: its content (how it is written: spec.sql), the version and the source, not the path.
UPDATE hash_first SET hash = readmodel.definition_hash('hash', spec => '{"key": "$.id", "on": {"a": {"add": {"n": 1}}}}', options => '{"version": "1"}');
SELECT what, CASE hash WHEN (SELECT hash FROM hash_first) THEN 'same' ELSE 'changed' END FROM (VALUES
    ('nothing', readmodel.definition_hash('hash', spec => '{"on": {"a": {"add": {"n": 1}}}, "key": "$.id"}', options => '{"version": "1"}')),
    ('key', readmodel.definition_hash('hash', spec => '{"key": "$.other", "on": {"a": {"add": {"n": 1}}}}', options => '{"version": "1"}')),
    ('event type', readmodel.definition_hash('hash', spec => '{"key": "$.id", "on": {"b": {"add": {"n": 1}}}}', options => '{"version": "1"}')),
    ('value', readmodel.definition_hash('hash', spec => '{"key": "$.id", "on": {"a": {"add": {"n": 2}}}}', options => '{"version": "1"}')),
    ('version', readmodel.definition_hash('hash', spec => '{"key": "$.id", "on": {"a": {"add": {"n": 1}}}}'))) v (what, hash);
SELECT statement, hash_after(statement, $$readmodel.definition_hash('hash', spec => '{"key": "$.id", "on": {"a": {"add": {"n": 1}}}}', options => '{"version": "1"}')$$)
FROM unnest(ARRAY[
    'SET LOCAL search_path = public, hash_schema',
    'ALTER TABLE hash_events ALTER COLUMN type TYPE varchar(50)',
    $$SELECT readmodel.drop_source('hash'); SELECT readmodel.create_source('hash', 'hash_events', metadata => 'metadata')$$]) statement;
UPDATE hash_first SET hash = hash_now();

-- The captured path, not the way in which it is written.
SELECT statement, hash_after(statement) FROM unnest(ARRAY[
    'SET LOCAL search_path = public',
    'SET LOCAL search_path = nosuch, public, pg_temp',
    'SET LOCAL search_path = public, hash_schema',
    'SET LOCAL search_path = hash_schema, public']) statement;

-- The settings of the session are none of it.
SELECT statement, hash_after(statement) FROM unnest(ARRAY[
    'SET LOCAL quote_all_identifiers = on',
    $$SET LOCAL TimeZone = 'Asia/Tokyo'$$,
    $$SET LOCAL default_text_search_config = 'pg_catalog.german'$$]) statement;

-- It locks nothing: a lock on the source's row would need a transaction that may write.
BEGIN READ ONLY;
SELECT hash_now() = hash AS same FROM hash_first;
ROLLBACK;

-- The source: its mapping and the types of what that reads.
CREATE FUNCTION hash_mapped(mapping text, prepare text DEFAULT 'SELECT 1') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN public.hash_after(prepare || $s$; SELECT readmodel.drop_source('hash'); SELECT readmodel.create_source('hash', 'hash_events'$s$
                             || mapping || ')');
END $$;
SELECT what, hash_mapped(mapping, prepare) FROM (VALUES
    ('nothing', '', 'SELECT 1'),
    ('spelling', $$, type => '"type"'$$, 'SELECT 1'),
    ('type', $$, type => $m$type || ''$m$ $$, 'SELECT 1'),
    ('stream', $$, stream => 'type'$$, 'SELECT 1'),
    ('data', $$, data => $m$data->'x'$m$ $$, 'SELECT 1'),
    ('metadata', $$, metadata => 'metadata'$$, 'SELECT 1'),
    ('occurred_at', $$, occurred_at => 'occurred_at'$$, 'SELECT 1'),
    ('a column that is not read', '', 'ALTER TABLE hash_events ADD COLUMN more text'),
    ('a type that is read', '', 'ALTER TABLE hash_events ALTER COLUMN type TYPE varchar(50)'),
    ('a typmod that is read', $$, metadata => 'to_jsonb(extra)'$$, 'ALTER TABLE hash_events ADD COLUMN extra numeric(10, 2)'),
    ('the name of the table', $$, data => 'data'$$, 'SELECT 1')) v (what, mapping, prepare);
SELECT hash_after($$SELECT readmodel.drop_source('hash'); ALTER TABLE hash_events RENAME TO hash_renamed;
                    SELECT readmodel.create_source('hash', 'hash_renamed')$$) AS renamed_table,
       hash_after($$SELECT readmodel.create_source('hash2', 'hash_events')$$, $$public.hash_now(source => 'hash2')$$) AS another_source;

-- Bad arguments are refused as by define_query.
SELECT readmodel.definition_hash('nosuch', 'hash_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.definition_hash('hash', 'hash_updater(jsonb, jsonb)', 'nosuch');
SELECT readmodel.definition_hash('hash', 'hash_updater(jsonb, jsonb)', 'stream', options => '{"nosuch": 1}');

-- It is what define_query notes.
BEGIN;
SELECT readmodel.define_query('hash test', 'hash', 'hash_updater(jsonb, jsonb)', 'stream', '{b,a}', options => '{"version": "1"}');
SELECT definition_hash = hash AS same FROM readmodel.generations('hash test'), hash_first;
ROLLBACK;

SELECT readmodel.drop_source('hash');
DROP FUNCTION hash_mapped, hash_after, hash_now, hash_atomic, hash_called, hash_updater;
DROP TABLE hash_first, hash_settings, hash_events;
DROP SCHEMA hash_schema;
