-- drop_query: all or nothing.
SELECT readmodel.create_event_table('drop_events') IS NOT NULL AS created;
SELECT readmodel.create_source('drop', 'drop_events');
CREATE FUNCTION drop_updater(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT event $$;
SELECT readmodel.define_query('drop me', 'drop', 'drop_updater(jsonb, jsonb)', 'stream'),
       readmodel.define_query('keep me', 'drop', 'drop_updater(jsonb, jsonb)', 'stream');
SELECT readmodel.define_query('drop me', 'drop', 'drop_updater(jsonb, jsonb)', 'type');
-- What there is of it, and tables of states that belong to no query at all.
CREATE VIEW drop_left AS
    SELECT count(DISTINCT query_id) AS queries, count(g.generation_id) AS generations, count(c.generation_id) AS checkpoints,
           count(t.oid) AS tables, count(DISTINCT v.oid) AS views,
           (SELECT count(*) FROM pg_class WHERE relnamespace = 'readmodel_data'::regnamespace AND relkind = 'r' AND relname ~ '^g_\d+$'
               AND oid NOT IN (SELECT state_table FROM readmodel_catalog.generation)) AS orphans
      FROM readmodel_catalog.query q
      LEFT JOIN readmodel_catalog.generation g USING (query_id)
      LEFT JOIN readmodel_catalog.checkpoint c USING (generation_id)
      LEFT JOIN pg_class t ON t.oid = g.state_table
      LEFT JOIN pg_class v ON v.oid = q.view
     WHERE q.name = 'drop me';
TABLE drop_left;

-- A source with queries stays.
SELECT readmodel.drop_source('drop');
-- The user's own objects on the view, or on a table of states, stop it, and nothing has changed.
CREATE VIEW drop_dependent AS SELECT id FROM readmodel."drop me";
\set VERBOSITY sqlstate
SELECT readmodel.drop_query('drop me');
TABLE drop_left;
DROP VIEW drop_dependent;
DO $$ BEGIN EXECUTE 'CREATE VIEW drop_dependent AS SELECT id FROM ' || readmodel.state_table('drop me', 2); END $$;
SELECT readmodel.drop_query('drop me');
\set VERBOSITY default
TABLE drop_left;
DROP VIEW drop_dependent;
-- An index of the user's on a table of states does not.
DO $$ BEGIN EXECUTE format('CREATE INDEX ON %s ((state->>''n''))', readmodel.state_table('drop me')); END $$;

-- A transaction that is rolled back.
BEGIN;
SELECT readmodel.drop_query('drop me');
TABLE drop_left;
-- .. and the name is free again within it
SELECT readmodel.define_query('drop me', 'drop', 'drop_updater(jsonb, jsonb)', 'position');
ROLLBACK;
TABLE drop_left;
SELECT readmodel.drop_query('drop me');
TABLE drop_left;
SELECT readmodel.drop_query('drop me');

-- A view that moved, was renamed or is gone does not hinder it.
SELECT readmodel.define_query('drop me', 'drop', 'drop_updater(jsonb, jsonb)', 'stream');
ALTER VIEW readmodel."drop me" RENAME TO "renamed";
ALTER VIEW readmodel."renamed" SET SCHEMA public;
SELECT readmodel.drop_query('drop me');
SELECT to_regclass('public.renamed') IS NULL AS gone;
SELECT readmodel.define_query('drop me', 'drop', 'drop_updater(jsonb, jsonb)', 'stream');
DROP VIEW readmodel."drop me";
SELECT readmodel.drop_query('drop me');
TABLE drop_left;

SELECT readmodel.drop_query('keep me');
DROP VIEW drop_left;
SELECT readmodel.drop_source('drop');
DROP TABLE drop_events;
DROP FUNCTION drop_updater;
