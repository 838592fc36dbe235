-- append(): versions, positions, optimistic concurrency, malformed events.
CREATE SCHEMA append_test;
SET search_path = append_test;
SELECT readmodel.create_event_table('events');
CREATE FUNCTION shown() RETURNS TABLE ("position" bigint, stream text, version bigint, type text, data jsonb, metadata jsonb)
    LANGUAGE sql AS 'SELECT e.position, stream_id, e.version, e.type, e.data, e.metadata FROM append_test.events e ORDER BY 1';

-- Versions count from 1 in each stream, positions over all of them.
SELECT * FROM readmodel.append('events', 'a', '[{"type": "One"}]');
SELECT * FROM readmodel.append('events', 'b', '[{"type": "One", "data": {"n": 1}}, {"type": "Two", "data": {"n": 2}}]', 0);
SELECT * FROM readmodel.append('events', 'a', '[{"type": "Two"}, {"type": "Three"}, {"type": "Four"}]', 1);
-- Data is taken as it is, absent data is {}; absent and null metadata are NULL.
SELECT * FROM readmodel.append('events', 'c', '[{"type": "Array", "data": [1, {"a": null}]},
    {"type": "Null", "data": null, "metadata": null}, {"type": "Text", "data": "t\"\\", "metadata": {"by": "me"}},
    {"type": "Number", "data": 1.50, "metadata": 7}, {"type": "Boolean", "data": false, "metadata": []}]');
SELECT * FROM shown();
SELECT count(DISTINCT event_id), count(occurred_at), bool_and(occurred_at <= now()) AS not_later FROM events;

-- A wrong expected version appends nothing and draws no position.
CREATE FUNCTION sqlstate_of(call text) RETURNS text LANGUAGE plpgsql AS
$$
BEGIN
    EXECUTE call;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT readmodel.append('events', 'a', '[{"type": "Five"}]', 3);
SELECT readmodel.append('events', 'a', '[{"type": "Five"}]', 5);
SELECT readmodel.append('events', 'a', '[{"type": "Five"}, {"type": "Six"}]', 0);
SELECT readmodel.append('events', 'new', '[{"type": "One"}]', 1);
SELECT sqlstate_of($$SELECT readmodel.append('events', 'a', '[{"type": "Five"}]', 3)$$);
SELECT readmodel.append('events', 'a', '[{"type": "Five"}]', -1);
SELECT count(*), last_value FROM events, events_position_seq GROUP BY last_value;

-- Malformed events: all or nothing.
SELECT readmodel.append('events', 'a', '{"type": "Five"}');
SELECT readmodel.append('events', 'a', '"Five"');
SELECT readmodel.append('events', 'a', 'null');
SELECT readmodel.append('events', 'a', '[]');
SELECT readmodel.append('events', 'a', '[{"type": "Five"}, 5]');
SELECT readmodel.append('events', 'a', '[{"type": "Five"}, null]');
SELECT readmodel.append('events', 'a', '[[{"type": "Five"}]]');
SELECT readmodel.append('events', 'a', '[{}]');
SELECT readmodel.append('events', 'a', '[{"data": {}}]');
SELECT readmodel.append('events', 'a', '[{"type": ""}]');
SELECT readmodel.append('events', 'a', '[{"type": null}]');
SELECT readmodel.append('events', 'a', '[{"type": {"a": 1}}]');
SELECT readmodel.append('events', 'a', '[{"type": "Five", "Data": {}}]');
SELECT readmodel.append('events', '', '[{"type": "Five"}]');
SELECT readmodel.append('events', NULL, '[{"type": "Five"}]');
SELECT readmodel.append('events', 'a', NULL);
SELECT readmodel.append(NULL, 'a', '[{"type": "Five"}]');
SELECT readmodel.append('no_such_table', 'a', '[{"type": "Five"}]');
SELECT count(*), last_value FROM events, events_position_seq GROUP BY last_value;

-- Tables without the columns of create_event_table.
CREATE TABLE lacking (position bigint GENERATED ALWAYS AS IDENTITY, stream_id text, type text, data jsonb, metadata jsonb);
SELECT readmodel.append('lacking', 'a', '[{"type": "One"}]');
ALTER TABLE lacking ADD COLUMN version integer;
SELECT readmodel.append('lacking', 'a', '[{"type": "One"}]');
ALTER TABLE lacking ALTER COLUMN version TYPE bigint;
SELECT * FROM readmodel.append('lacking', 'a', '[{"type": "One"}]');
CREATE VIEW viewed AS SELECT * FROM events;
SELECT readmodel.append('viewed', 'a', '[{"type": "Five"}]');
DROP VIEW viewed;

-- The plans follow the table when it is altered, renamed, moved; and are another table's for another table.
ALTER TABLE events RENAME TO renamed;
SELECT * FROM readmodel.append('renamed', 'd', '[{"type": "One"}, {"type": "Two"}]');
CREATE SCHEMA append_elsewhere;
ALTER TABLE renamed SET SCHEMA append_elsewhere;
SELECT * FROM readmodel.append('append_elsewhere.renamed', 'd', '[{"type": "Three"}]', 2);
ALTER SCHEMA append_elsewhere RENAME TO "append else";
SELECT * FROM readmodel.append('"append else".renamed', 'd', '[{"type": "Four"}]', 3);
ALTER TABLE "append else".renamed ALTER COLUMN type TYPE varchar(100);
SELECT readmodel.append('"append else".renamed', 'd', '[{"type": "Five"}]');
ALTER TABLE "append else".renamed ALTER COLUMN type TYPE text;
ALTER TABLE "append else".renamed SET SCHEMA append_test;
ALTER TABLE renamed RENAME TO events;
SELECT * FROM readmodel.append('events', 'd', '[{"type": "Five"}]', 4);
DROP SCHEMA "append else";

-- Nothing of the caller's search_path gets into the statements.
CREATE FUNCTION append_test.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE sql AS 'SELECT $1[1]';
CREATE FUNCTION append_test.never(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR append_test.= (FUNCTION = append_test.never, LEFTARG = text, RIGHTARG = text);
SET search_path = append_test, pg_catalog;
SELECT * FROM readmodel.append('events', 'd', '[{"type": "Six"}, {"type": "Seven"}]');
SET search_path = append_test;
DROP OPERATOR append_test.= (text, text);
DROP FUNCTION append_test.never(text, text), append_test.unnest(anyarray);

-- Triggers run as for any INSERT, may append themselves, but may not drop events.
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF new.type = 'Drop' THEN
        RETURN NULL;
    ELSIF new.type = 'Follow' THEN
        PERFORM readmodel.append('append_test.events', 'followers', '[{"type": "Followed"}, {"type": "Followed"}]');
    END IF;
    RETURN new;
END
$$;
CREATE TRIGGER follow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION follow();
SELECT * FROM readmodel.append('events', 'e', '[{"type": "Follow"}, {"type": "Follow"}]');
SELECT version, type FROM events WHERE stream_id = 'followers' ORDER BY version;
SELECT readmodel.append('events', 'e', '[{"type": "Keep"}, {"type": "Drop"}]');
DROP TRIGGER follow ON events;
SELECT stream_id, max(version), count(*) FROM events GROUP BY 1 ORDER BY 1;

-- Versions do not run over.
INSERT INTO events (stream_id, version, type) VALUES ('long', 9223372036854775806, 'Late'), ('long', NULL, 'Odd');
SELECT last_version FROM readmodel.append('events', 'long', '[{"type": "Last"}]');
SELECT readmodel.append('events', 'long', '[{"type": "More"}]');

-- Many events at once; many streams in one transaction.
SELECT last_version, last_position - first_position AS span
FROM readmodel.append('events', 'bulk', (SELECT jsonb_agg(jsonb_build_object('type', 'T' || n, 'data', n)) FROM generate_series(1, 5000) n));
SELECT bool_and(data = to_jsonb(version)) AND bool_and(type = 'T' || version) AS in_order,
    max(position) - min(position) AS span FROM events WHERE stream_id = 'bulk';
SELECT bool_and(version = "position" - (SELECT min("position") FROM events WHERE stream_id = 'bulk') + 1) FROM events WHERE stream_id = 'bulk';
SELECT count(*) FROM generate_series(1, 20000) n, readmodel.append('events', 's-' || n, '[{"type": "One"}]', 0);

-- It works on a partitioned table too, where no unique index can help.
CREATE TABLE parted (LIKE events) PARTITION BY RANGE (position);
ALTER TABLE parted ALTER COLUMN position ADD GENERATED ALWAYS AS IDENTITY;
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (3);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (3) TO (MAXVALUE);
SELECT * FROM readmodel.append('parted', 'a', '[{"type": "One"}, {"type": "Two"}, {"type": "Three"}]');
SELECT * FROM readmodel.append('parted', 'a', '[{"type": "Four"}]', 3);
SELECT readmodel.append('parted', 'a', '[{"type": "Four"}]', 3);

-- A duplicate position is not a version conflict.
SELECT readmodel.create_event_table('behind');
INSERT INTO behind (position, type) OVERRIDING SYSTEM VALUE VALUES (1, 'Imported');
SELECT sqlstate_of($$SELECT readmodel.append('behind', 'a', '[{"type": "One"}]', 0)$$);

-- The rights are the caller's: INSERT and SELECT on the table, nothing of the extension's.
CREATE ROLE at_writer;
GRANT USAGE ON SCHEMA append_test TO at_writer;
SET ROLE at_writer;
SELECT readmodel.append('events', 'w', '[{"type": "One"}]');
RESET ROLE;
GRANT INSERT ON events TO at_writer;
SET ROLE at_writer;
SELECT readmodel.append('events', 'w', '[{"type": "One"}]');
RESET ROLE;
GRANT SELECT ON events TO at_writer;
SET ROLE at_writer;
SELECT last_version FROM readmodel.append('events', 'w', '[{"type": "One"}]', 0);
RESET ROLE;
REVOKE INSERT ON events FROM at_writer;
SET ROLE at_writer;
SELECT readmodel.append('events', 'w', '[{"type": "Two"}]');
RESET ROLE;
SELECT count(*) FROM events WHERE stream_id = 'w';

\set VERBOSITY terse
BEGIN READ ONLY;
SELECT readmodel.append('events', 'a', '[{"type": "Five"}]');
ROLLBACK;

SET client_min_messages = warning;
DROP SCHEMA append_test CASCADE;
DROP ROLE at_writer;
