-- What a key expression can be. Every refusal names the expression and changes nothing.
SET client_min_messages = warning;
SELECT readmodel.create_event_table('key_events') IS NOT NULL AS created;
SELECT readmodel.create_source('keys', 'key_events');
CREATE FUNCTION key_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT event $$;

-- Defines a query with the key in a subtransaction that is rolled back: its type and canonical text, or the error.
CREATE FUNCTION key_of(key text, OUT result text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
DECLARE
    context text;
    type text;
    is_array boolean;
    expression text;
BEGIN
    BEGIN
        PERFORM readmodel.define_query('key test', 'keys', 'key_updater(jsonb, jsonb)', key);
        SELECT key_type, key_is_array, key_expression INTO type, is_array, expression
          FROM readmodel_catalog.generation g JOIN readmodel_catalog.query USING (query_id) WHERE name = 'key test';
        RAISE EXCEPTION USING ERRCODE = 'TEST0';
    EXCEPTION
        WHEN SQLSTATE 'TEST0' THEN
            result := type || CASE WHEN is_array THEN '[]' ELSE '' END || ': ' || expression;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
            result := SQLSTATE || ' ' || SQLERRM;
            IF context NOT LIKE 'key expression "' || key || '"%' THEN
                detail := detail || ' [the context does not name the key: ' || context || ']';
            END IF;
    END;
END $$;
\pset format unaligned
\pset tuples_only on
\pset null '-'
\pset fieldsep '\n    '
-- one key
SELECT k.* FROM unnest(ARRAY[
    'stream', 'type', 'position', $$data->>'id'$$, $$(data->>'id')::uuid$$, $$(metadata->>'n')::int$$, '1::smallint',
    $$stream::varchar(10)$$, $$'everything'$$, 'NULL', $$to_char(occurred_at, 'YYYY-MM')$$, $$data['a']['b'] #>> '{}'$$,
    $$coalesce(data->>'a', stream || '/' || position)$$, $$stream -- a comment$$, $$CASE type WHEN 'a' THEN stream END$$
]) key, key_of(key) k;
-- several keys
SELECT k.* FROM unnest(ARRAY[
    $$string_to_array(stream, ',')$$, $$ARRAY[position, 1]$$, $$ARRAY[1, 2]$$, $$ARRAY[(data->>'a')::uuid]$$,
    $$ARRAY[stream::varchar, 'x']$$, $$'{a,b}'::text[]$$, $$jsonb_path_query_array(data, '$.a')::text$$
]) key, key_of(key) k;
-- no single expression
SELECT k.* FROM unnest(ARRAY[
    '', '  ', 'stream,', 'stream, type', '1; DROP TABLE key_events', '1 FROM key_events', 'stream AS x', 'stream x', 'DISTINCT stream',
    'stream WHERE true', 'stream ORDER BY 1', 'stream LIMIT 1', 'stream FOR UPDATE', 'stream UNION SELECT 1', 'stream)', '(stream',
    'SELECT 1', 'data->>'
]) key, key_of(key) k;
-- names that are no columns of an event
SELECT k.* FROM unnest(ARRAY['stream_id', 'key_events.stream', 'data.x', '*', '$1', 'ctid', '"Stream"', 'nosuch(stream)']) key, key_of(key) k;
-- what looks at more than the event, or may differ the next time
SELECT k.* FROM unnest(ARRAY[
    '(SELECT 1)', 'ARRAY(SELECT stream)', 'stream IN (SELECT type FROM key_events)', 'max(stream)', 'count(*)',
    'row_number() OVER ()', 'lag(stream) OVER (ORDER BY position)', 'regexp_split_to_table(stream, $$,$$)', 'generate_series(1, position)',
    'random()::text', 'gen_random_uuid()', 'clock_timestamp()::text', 'nextval($$key_events_position_seq$$)'
]) key, key_of(key) k;
-- types
SELECT k.* FROM unnest(ARRAY[
    'data', $$data->'a'$$, $$(data #> '{a,b}')$$, $$data || '{}'$$, 'true', '1.5', 'occurred_at', 'ARRAY[ARRAY[true]]', 'ROW(1, 2)', $$'a'::name$$, $$stream::char(3)$$, $$data->>5::int + 1$$
]) key, key_of(key) k;
-- domains are what they are made of
CREATE DOMAIN order_id AS text CHECK (VALUE <> '');
CREATE DOMAIN order_ids AS order_id[];
SELECT (key_of($$stream::order_id$$)).result;
SELECT (key_of($$ARRAY[stream]::order_ids$$)).result;
-- a default argument is looked at too
CREATE FUNCTION keyed(text, double precision DEFAULT random()) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
SELECT (key_of('keyed(stream)')).result;
-- what is outside of pg_catalog is written with its schema, whatever the path
CREATE SCHEMA key_schema;
CREATE FUNCTION key_schema.shorten(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left($1, 3) $$;
CREATE OPERATOR key_schema.### (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.textcat);
SET search_path = key_schema, public;
SELECT (key_of('shorten(stream)')).result;
SELECT (key_of('stream ### type')).result;
RESET search_path;
SELECT (key_of('shorten(stream)')).result;
-- and a name without a schema is the one in pg_catalog, whatever else the captured path finds first
CREATE FUNCTION key_schema.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'another'::text $$;
SET search_path = key_schema, pg_catalog, public;
SELECT (public.key_of('pg_catalog.lower(stream)')).result;
SELECT (public.key_of('lower(stream)')).result;
SELECT readmodel.define_query('key lower', 'keys', 'public.key_updater(jsonb, jsonb)', 'pg_catalog.lower(stream)');
SELECT last_position FROM readmodel.append('public.key_events', 'STREAM', '[{"type": "a", "data": {}}]');
SELECT readmodel.wait_for('key lower', 1);
SELECT id FROM readmodel."key lower";
SELECT readmodel.drop_query('key lower');
RESET search_path;
-- the workers see no temporary functions and types
CREATE TYPE pg_temp.mood AS ENUM ('a');
CREATE FUNCTION pg_temp.mooded(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
SELECT (key_of($$'a'::mood::text$$)).result;
SELECT (key_of($$pg_temp.mooded(stream)$$)).result;
\pset format aligned
\pset tuples_only off
-- nothing was left behind
SELECT count(*) FROM readmodel_catalog.query WHERE name = 'key test';
-- the error's position is within the expression
SELECT readmodel.define_query('key test', 'keys', 'key_updater(jsonb, jsonb)', 'stream || nosuch');
DROP FUNCTION key_of, keyed;
SELECT readmodel.drop_source('keys');
DROP SCHEMA key_schema CASCADE;
DROP DOMAIN order_ids, order_id;
DROP FUNCTION key_updater;
DROP TABLE key_events;
