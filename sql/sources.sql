-- Registering, showing and dropping sources.
SET client_min_messages = notice;
CREATE SCHEMA sources_test;
SET search_path = sources_test;

-- The catalog's view of a source, without what differs from run to run.
CREATE FUNCTION registered(OUT name text, OUT events regclass, OUT marker_kind "char", OUT position_column name, OUT type text,
                           OUT stream text, OUT data text, OUT metadata text, OUT occurred_at text, OUT settle text,
                           OUT path text)
    RETURNS SETOF record LANGUAGE sql AS
$$
    SELECT s.name, s.events, c.relkind, position_column, type_expression, stream_expression, data_expression,
           metadata_expression, occurred_at_expression, settle, s.search_path
    FROM readmodel_catalog.source s LEFT JOIN pg_class c ON c.oid = s.marker
    WHERE s.name LIKE '%st\_%' ORDER BY s.name
$$;

-- create_event_table makes exactly these columns and keys, in the first schema of the path or the one that is named.
SELECT readmodel.create_event_table('orders');
SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity, pg_get_expr(d.adbin, d.adrelid) AS "default"
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE attrelid = 'orders'::regclass AND attnum > 0 ORDER BY attnum;
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'orders'::regclass ORDER BY 1;
SELECT readmodel.create_event_table('sources_test."My ""odd"" Events"');
SELECT readmodel.create_event_table('UPPER');
-- Bad names, in PostgreSQL's own words. Nothing is made.
\set VERBOSITY terse
SELECT readmodel.create_event_table('orders');
SELECT readmodel.create_event_table('');
SELECT readmodel.create_event_table('two words');
SELECT readmodel.create_event_table('a.b.c.d');
SELECT readmodel.create_event_table('nowhere.orders');
SELECT readmodel.create_event_table(NULL);
\set VERBOSITY default
SELECT count(*) AS tables FROM pg_class WHERE relnamespace = 'sources_test'::regnamespace AND relkind = 'r';

-- A name is enough for a table of create_event_table.
SELECT readmodel.create_source('st_orders', 'orders');
-- Names with quotes and spaces; expressions; the path is kept by the names that it means now.
CREATE SCHEMA "odd path";
SET search_path = sources_test, "odd path", "$user", no_such_schema, pg_temp;
SELECT readmodel.create_source('odd "st_name"''s', '"My ""odd"" Events"', position_column => 'position',
    type => $$data->>'tag' -- the newline after this comment is ours$$, stream => $$coalesce(stream_id, 'none')$$,
    data => $$data - 'tag'$$, metadata => 'metadata', occurred_at => $$(data->>'at')::timestamp AT TIME ZONE 'UTC'$$);
SET search_path = sources_test;
SELECT * FROM registered() \gx

-- head_position is what this statement sees; nothing is settled before a worker has looked.
SELECT FROM readmodel.append('orders', 'o-1', '[{"type": "Placed"}, {"type": "Paid"}]');
SELECT name, events, head_position FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;

-- The same table may be a source twice, a name may not.
SELECT readmodel.create_source('st_orders_2', 'orders', type => $$upper(type)$$);
SELECT readmodel.create_source('st_orders', 'orders');
SELECT name FROM registered();

-- A table's columns can be changed, the table cannot be dropped under its source.
ALTER TABLE orders ADD COLUMN note text;
ALTER TABLE orders DROP COLUMN note;
\set VERBOSITY terse
DROP TABLE orders;
\set VERBOSITY default
SELECT obj_description(marker, 'pg_class') FROM readmodel_catalog.source WHERE name = 'st_orders';
SELECT pg_get_viewdef(marker) FROM readmodel_catalog.source WHERE name = 'st_orders';

-- Registering takes no lock on the event table that holds up writers.
BEGIN;
SELECT readmodel.create_source('st_locks', 'orders');
SELECT mode FROM pg_locks WHERE relation = 'orders'::regclass AND pid = pg_backend_pid() ORDER BY mode;
ROLLBACK;
SELECT count(*) FROM registered() WHERE name = 'st_locks';

-- Bad arguments: nothing is registered.
SELECT readmodel.create_source('', 'orders');
SELECT readmodel.create_source(NULL, 'orders');
SELECT readmodel.create_source('st_bad', NULL);
SELECT readmodel.create_source('st_bad', 'orders', type => NULL);
SELECT readmodel.create_source('st_bad', 'orders', stream => NULL);
SELECT readmodel.create_source('st_bad', 'orders', data => NULL);
SELECT readmodel.create_source('st_bad', 'orders', position_column => NULL);
SELECT readmodel.create_source('st_bad', 'orders', settle => NULL);
SELECT readmodel.create_source('st_bad', 'orders', settle => 'sometimes');
SELECT readmodel.create_source('st_bad', 'no_such_table');
\set VERBOSITY terse
SELECT readmodel.create_source('st_bad', 4294967295::oid::regclass);
\set VERBOSITY default

-- Bad expressions name the argument.
SELECT readmodel.create_source('st_bad', 'orders', type => 'no_such_column');
SELECT readmodel.create_source('st_bad', 'orders', stream => 'stream_id ||');
SELECT readmodel.create_source('st_bad', 'orders', data => 'no_such_function(data)');
SELECT readmodel.create_source('st_bad', 'orders', data => '');
SELECT readmodel.create_source('st_bad', 'orders', type => 'type, stream_id');
SELECT readmodel.create_source('st_bad', 'orders', type => 'type AS t');
SELECT readmodel.create_source('st_bad', 'orders', type => 'type FROM pg_class');
SELECT readmodel.create_source('st_bad', 'orders', type => 'type) || (type');
SELECT readmodel.create_source('st_bad', 'orders', type => 'type); DROP TABLE orders; --');
SELECT readmodel.create_source('st_bad', 'orders', type => '*');
SELECT readmodel.create_source('st_bad', 'orders', type => '$1');
SELECT readmodel.create_source('st_bad', 'orders', type => '(SELECT rolname FROM pg_roles LIMIT 1)');
SELECT readmodel.create_source('st_bad', 'orders', type => 'max(type)');
SELECT readmodel.create_source('st_bad', 'orders', type => 'max(type) OVER ()');
SELECT readmodel.create_source('st_bad', 'orders', type => 'regexp_split_to_table(type, ''x'')');
SELECT readmodel.create_source('st_bad', 'orders', data => 'jsonb_array_elements(data)');
SELECT readmodel.create_source('st_bad', 'orders', type => 'clock_timestamp()::text');
SELECT readmodel.create_source('st_bad', 'orders', stream => 'xmin::text');
SELECT readmodel.create_source('st_bad', 'orders', type => $$data->'type'$$);
SELECT readmodel.create_source('st_bad', 'orders', data => 'type');
SELECT readmodel.create_source('st_bad', 'orders', metadata => 'version');
SELECT readmodel.create_source('st_bad', 'orders', occurred_at => 'occurred_at::timestamp');
SELECT readmodel.create_source('st_bad', 'orders', occurred_at => 'occurred_at::date');
SELECT readmodel.create_source('st_bad', 'orders', occurred_at => 'type');
-- A volatile function that hides behind a default argument.
CREATE FUNCTION late(a text, b double precision DEFAULT random()) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
    'BEGIN RETURN a || b; END';
SELECT readmodel.create_source('st_bad', 'orders', type => 'late(type)');
-- None of all that left anything behind.
SELECT name FROM registered();
SELECT count(*) = (SELECT count(*) FROM readmodel_catalog.source) AS one_marker_each
FROM pg_class WHERE relnamespace = 'readmodel_data'::regnamespace AND relname LIKE 'source\_%';

-- What else an expression may be: json, domains, enums, varchar, the whole row, a literal.
CREATE TYPE kind AS ENUM ('opened', 'closed');
CREATE DOMAIN document AS jsonb;
CREATE TABLE legacy (id bigserial PRIMARY KEY, kind kind, account uuid, body json, extra document, at timestamptz);
SELECT readmodel.create_source('st_legacy', 'legacy', 'id', type => 'kind', stream => 'account', data => 'body',
    metadata => 'extra', occurred_at => 'at');
SELECT readmodel.create_source('st_legacy_row', 'legacy', 'id', type => $$'Row'$$, stream => 'account', data => 'to_jsonb(legacy)');
SELECT name FROM registered();

-- Dropping: unknown, null, and what queries use.
SELECT readmodel.drop_source('st_none');
SELECT readmodel.drop_source('');
SELECT readmodel.drop_source(NULL);
BEGIN;
INSERT INTO readmodel_catalog.query (name, source_id, view, newest, serving)
SELECT q.name, source_id, marker, 1, 1 FROM readmodel_catalog.source s, (VALUES ('st "b"'), ('st_a')) q(name)
WHERE s.name = 'st_legacy';
SAVEPOINT before_drop;
SELECT readmodel.drop_source('st_legacy');
ROLLBACK TO before_drop;
SELECT count(*) FROM registered() WHERE name = 'st_legacy';
ROLLBACK;
SELECT readmodel.drop_source('st_legacy_row');
SELECT readmodel.drop_source('st_legacy');
DROP TABLE legacy;
SELECT name FROM registered();

-- A source whose table was dropped with CASCADE shows without a table, and can be dropped.
SET client_min_messages = warning;
DROP TABLE "My ""odd"" Events" CASCADE;
SET client_min_messages = notice;
SELECT name, events, head_position FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;
SELECT readmodel.drop_source('odd "st_name"''s');
-- So can one whose marker is gone.
DO $$ BEGIN EXECUTE format('DROP VIEW %s', (SELECT marker FROM readmodel_catalog.source WHERE name = 'st_orders_2')); END $$;
SELECT readmodel.drop_source('st_orders_2');
SELECT * FROM registered() \gx

-- A table that cannot be read does not keep the others from being shown.
SELECT readmodel.create_event_table('hidden');
CREATE ROLE st_owner;
GRANT USAGE ON SCHEMA sources_test TO st_owner;
ALTER TABLE hidden OWNER TO st_owner;
SELECT readmodel.create_source('st_hidden', 'hidden');
INSERT INTO hidden (type) VALUES ('x');
SELECT name, head_position FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;
REVOKE SELECT ON hidden FROM st_owner;
SELECT name, head_position FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;
ALTER TABLE hidden RENAME COLUMN position TO place;
GRANT SELECT ON hidden TO st_owner;
SELECT name, head_position FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;
ALTER TABLE hidden RENAME COLUMN place TO position;

-- Rights: defining is not PUBLIC's, and takes the table's ownership.
CREATE ROLE st_other;
GRANT USAGE ON SCHEMA sources_test TO st_other;
SET ROLE st_owner;
SELECT readmodel.create_source('st_bad', 'hidden');
SELECT readmodel.drop_source('st_hidden');
RESET ROLE;
GRANT EXECUTE ON FUNCTION readmodel.create_source(text, regclass, name, text, text, text, text, text, text),
    readmodel.drop_source(text) TO st_owner, st_other;
SET ROLE st_other;
SELECT readmodel.create_source('st_bad', 'hidden');
SELECT readmodel.drop_source('st_hidden');
SELECT name FROM readmodel.source_status() WHERE name LIKE '%st\_%';
SELECT readmodel.create_event_table('not_allowed');
SET ROLE st_owner;
SELECT name FROM readmodel.source_status() WHERE name LIKE '%st\_%';
SELECT readmodel.drop_source('st_hidden');
SELECT readmodel.create_source('st_hidden', 'hidden');
RESET ROLE;
GRANT pg_monitor TO st_other;
SET ROLE st_other;
SELECT name FROM readmodel.source_status() WHERE name LIKE '%st\_%' ORDER BY name;
RESET ROLE;
SELECT pg_get_userbyid(relowner) FROM pg_class c JOIN readmodel_catalog.source s ON s.marker = c.oid WHERE s.name = 'st_hidden';
-- Names in expressions are resolved with the owner's rights, not the caller's.
CREATE SCHEMA st_secret;
CREATE FUNCTION st_secret.f(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
SELECT readmodel.create_source('st_bad', 'hidden', type => 'st_secret.f(type)');
-- A member of the owner may.
GRANT st_owner TO st_other;
SET ROLE st_other;
SELECT readmodel.drop_source('st_hidden');
RESET ROLE;

-- Without SELECT or USAGE of the owner nothing could be read later.
REVOKE SELECT ON hidden FROM st_owner;
SELECT readmodel.create_source('st_bad', 'hidden');
GRANT SELECT ON hidden TO st_owner;
REVOKE USAGE ON SCHEMA sources_test FROM st_owner;
SELECT readmodel.create_source('st_bad', 'hidden');
SELECT name FROM registered();

-- A read-only transaction registers nothing.
\set VERBOSITY terse
BEGIN READ ONLY;
SELECT readmodel.create_source('st_bad', 'orders');
ROLLBACK;
SELECT readmodel.drop_source('st_orders');
SELECT count(*) FROM registered();
\set VERBOSITY default
SET client_min_messages = warning;
DROP SCHEMA sources_test CASCADE;
DROP SCHEMA "odd path" CASCADE;
DROP SCHEMA st_secret CASCADE;
REVOKE EXECUTE ON FUNCTION readmodel.create_source(text, regclass, name, text, text, text, text, text, text),
    readmodel.drop_source(text) FROM st_owner, st_other;
DROP ROLE st_owner, st_other;
