-- What create_source refuses because it would break the proof of the settled position, and that nothing is changed then.
SET client_min_messages = notice;
CREATE SCHEMA checks_test;
SET search_path = checks_test;

CREATE FUNCTION sources_here() RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FROM readmodel_catalog.source WHERE name LIKE 'ct\_%' $$;
CREATE FUNCTION markers_here() RETURNS bigint LANGUAGE sql AS
$$
    SELECT count(*) FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_class v ON v.oid = r.ev_class JOIN pg_class t ON t.oid = d.refobjid
    WHERE v.relnamespace = 'readmodel_data'::regnamespace AND t.relnamespace = 'checks_test'::regnamespace
$$;

-- The sequence: CACHE, increment, CYCLE, not permanent. Changed to what is right, the table is taken.
SELECT readmodel.create_event_table('e');
ALTER SEQUENCE e_position_seq CACHE 20;
SELECT readmodel.create_source('ct_e', 'e');
ALTER SEQUENCE e_position_seq CACHE 1 INCREMENT BY 2;
SELECT readmodel.create_source('ct_e', 'e');
ALTER SEQUENCE e_position_seq INCREMENT BY -1 MAXVALUE 1000;
SELECT readmodel.create_source('ct_e', 'e');
ALTER SEQUENCE e_position_seq INCREMENT BY 1 CYCLE;
SELECT readmodel.create_source('ct_e', 'e');
ALTER SEQUENCE e_position_seq NO CYCLE NO MAXVALUE;
SELECT readmodel.create_source('ct_e', 'e');
SELECT readmodel.drop_source('ct_e');
CREATE UNLOGGED SEQUENCE forgetful;
CREATE TABLE on_forgetful (position bigint PRIMARY KEY DEFAULT nextval('forgetful'), type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'on_forgetful');

-- The kind of relation.
CREATE VIEW v AS SELECT * FROM e;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM e;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE ft (position bigint NOT NULL, type text, stream_id text, data jsonb) SERVER nowhere;
CREATE UNLOGGED TABLE unlogged (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text, stream_id text, data jsonb);
CREATE TEMPORARY TABLE temporary (position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'v');
SELECT readmodel.create_source('ct_e', 'mv');
SELECT readmodel.create_source('ct_e', 'ft');
SELECT readmodel.create_source('ct_e', 'unlogged');
SELECT readmodel.create_source('ct_e', 'temporary');
SELECT readmodel.create_source('ct_e', 'e_position_seq');
SELECT readmodel.create_source('ct_e', 'e_pkey');

-- The position column.
CREATE TABLE small (position int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'small');
SELECT readmodel.create_source('ct_e', 'e', position_column => 'no_such');
SELECT readmodel.create_source('ct_e', 'e', position_column => 'ctid');
SELECT readmodel.create_source('ct_e', 'e', position_column => 'type');

-- No sequence, or nothing that says which one.
CREATE TABLE plain (position bigint PRIMARY KEY, type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'plain');
SELECT readmodel.create_source('ct_e', 'e', position_column => 'version');
CREATE SEQUENCE shared;
ALTER TABLE plain ALTER COLUMN position SET DEFAULT nextval('shared') * 2;
SELECT readmodel.create_source('ct_e', 'plain');
ALTER TABLE plain ALTER COLUMN position SET DEFAULT nextval('checks_test.shared'::text);
SELECT readmodel.create_source('ct_e', 'plain');
ALTER TABLE plain ALTER COLUMN position SET DEFAULT 7;
SELECT readmodel.create_source('ct_e', 'plain');
ALTER TABLE plain ALTER COLUMN position SET DEFAULT nextval('shared');
SELECT readmodel.create_source('ct_e', 'plain');
SELECT readmodel.drop_source('ct_e');

-- gap_timeout goes without, and says what that means; but the column must not be null then.
ALTER TABLE plain ALTER COLUMN position DROP DEFAULT;
SELECT readmodel.create_source('ct_e', 'plain', settle => 'gap_timeout');
SELECT readmodel.drop_source('ct_e');
CREATE TABLE nullable (position bigint UNIQUE, type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'nullable', settle => 'gap_timeout');
SELECT readmodel.create_source('ct_e', 'nullable');
-- A nullable position that one sequence fills is right.
ALTER TABLE nullable ALTER COLUMN position SET DEFAULT nextval('shared');
SELECT readmodel.create_source('ct_e', 'nullable');
INSERT INTO nullable (position) VALUES (NULL), (DEFAULT);
SELECT head_position FROM readmodel.source_status() WHERE name = 'ct_e';
SELECT readmodel.drop_source('ct_e');

-- The index.
CREATE TABLE i (position bigint GENERATED ALWAYS AS IDENTITY, type text, stream_id text, data jsonb);
SELECT readmodel.create_source('ct_e', 'i');
CREATE INDEX i_second ON i (type, position);
CREATE INDEX i_hash ON i USING hash (position);
CREATE INDEX i_expression ON i ((position + 0));
SELECT readmodel.create_source('ct_e', 'i');
CREATE INDEX i_partial ON i (position) WHERE type = 'x';
SELECT readmodel.create_source('ct_e', 'i');
CREATE INDEX i_nulls ON i (position NULLS FIRST);
SELECT readmodel.create_source('ct_e', 'i');
DROP INDEX i_partial, i_nulls;
INSERT INTO i (type) SELECT 'x' FROM generate_series(1, 2);
CREATE TABLE twice AS SELECT 1 AS one, i.* FROM i;
ALTER TABLE twice ALTER COLUMN position SET DEFAULT nextval('shared');
UPDATE twice SET position = 1;
CREATE UNIQUE INDEX CONCURRENTLY twice_position ON twice (position);
SELECT readmodel.create_source('ct_e', 'twice');
CREATE INDEX i_good ON i (position DESC, type);
SELECT readmodel.create_source('ct_e', 'i');
SELECT readmodel.drop_source('ct_e');

-- Partitioned tables: an index on every partition, and no partition with numbers of its own.
CREATE TABLE parts (position bigint GENERATED ALWAYS AS IDENTITY, type text, stream_id text, data jsonb)
    PARTITION BY RANGE (position);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (1000) TO (2000);
CREATE INDEX ON part_1 (position);
SELECT readmodel.create_source('ct_e', 'parts');
CREATE INDEX parts_position ON ONLY parts (position);
SELECT readmodel.create_source('ct_e', 'parts');
CREATE INDEX part_2_position ON part_2 (position);
ALTER INDEX parts_position ATTACH PARTITION part_2_position;
ALTER INDEX parts_position ATTACH PARTITION part_1_position_idx;
ALTER TABLE part_2 ALTER COLUMN position SET DEFAULT nextval('shared');
SELECT readmodel.create_source('ct_e', 'parts');
ALTER TABLE part_2 ALTER COLUMN position DROP DEFAULT;
CREATE UNLOGGED TABLE part_3 PARTITION OF parts FOR VALUES FROM (2000) TO (3000);
SELECT readmodel.create_source('ct_e', 'parts');
ALTER TABLE part_3 SET LOGGED;
CREATE FOREIGN TABLE part_4 PARTITION OF parts FOR VALUES FROM (3000) TO (4000) SERVER nowhere;
SELECT readmodel.create_source('ct_e', 'parts');
ALTER TABLE parts DETACH PARTITION part_4;
SELECT readmodel.create_source('ct_e', 'parts');
INSERT INTO parts (type) VALUES ('x'), ('y');
SELECT head_position FROM readmodel.source_status() WHERE name = 'ct_e';
SELECT readmodel.drop_source('ct_e');
-- A partition by itself draws from nothing that belongs to it.
SELECT readmodel.create_source('ct_e', 'part_1');
-- Tables that inherit are read too, so they are checked too.
CREATE TABLE parent (position bigserial PRIMARY KEY, type text, stream_id text, data jsonb);
CREATE TABLE child () INHERITS (parent);
SELECT readmodel.create_source('ct_e', 'parent');
CREATE INDEX ON child (position);
SELECT readmodel.create_source('ct_e', 'parent');
SELECT readmodel.drop_source('ct_e');

-- Row-level security: the owner is the reader. It reads everything unless the policies are forced on it.
CREATE ROLE ct_owner;
GRANT USAGE ON SCHEMA checks_test TO ct_owner;
SELECT readmodel.create_event_table('guarded');
ALTER TABLE guarded OWNER TO ct_owner;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
SELECT readmodel.create_source('ct_e', 'guarded');
SELECT readmodel.drop_source('ct_e');
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
SELECT readmodel.create_source('ct_e', 'guarded');
SET row_security = off;
SELECT readmodel.create_source('ct_e', 'guarded');
RESET row_security;
ALTER ROLE ct_owner BYPASSRLS;
SELECT readmodel.create_source('ct_e', 'guarded');
SELECT readmodel.drop_source('ct_e');

-- A table that a subscription fills: the publisher's numbers do not arrive in order, only an identity of this server does.
BEGIN;
INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) VALUES (1, 'parent'::regclass, 'r'), (1, 'e'::regclass, 'r');
SAVEPOINT subscribed;
SELECT readmodel.create_source('ct_e', 'parent');
ROLLBACK TO subscribed;
SELECT readmodel.create_source('ct_e', 'e');
ROLLBACK;

-- Events that were imported with their positions: the sequence would come to them again.
SELECT readmodel.create_event_table('imported');
INSERT INTO imported (position, stream_id) OVERRIDING SYSTEM VALUE VALUES (41, 'a'), (42, 'a');
SELECT readmodel.create_source('imported', 'imported');
SELECT setval('imported_position_seq', 42);
SELECT readmodel.create_source('imported', 'imported');
SELECT readmodel.drop_source('imported');
DROP TABLE imported;

-- Nothing is left of all that was refused or dropped.
SELECT sources_here(), markers_here();

SET client_min_messages = warning;
DROP SCHEMA checks_test CASCADE;
DROP SERVER nowhere;
DROP FOREIGN DATA WRAPPER nothing;
DROP OWNED BY ct_owner;
DROP ROLE ct_owner;
