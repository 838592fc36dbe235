-- Sources: event tables, appending to them, and registering them.

-- Ordinary commands of the caller's, with the caller's rights and search_path: no SET clause, no REVOKE.
CREATE FUNCTION readmodel.create_event_table(event_table text) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'readmodel_create_event_table';
COMMENT ON FUNCTION readmodel.create_event_table(text) IS
'creates an empty event table with the columns position (bigint identity, primary key), event_id (uuid, unique), stream_id (text), version (bigint), type (text), data (jsonb), metadata (jsonb) and occurred_at (timestamptz), unique (stream_id, version), and returns it; event_table: a name as in CREATE TABLE, quoted where it needs to be, qualified or created in the first schema of the search_path; runs with the rights of the caller; errors: 42602 bad name, 42P07 the table exists, 42501 no CREATE on the schema';

CREATE FUNCTION readmodel.append(event_table regclass, stream text, events jsonb, expected_version bigint DEFAULT NULL)
    RETURNS TABLE (last_version bigint, first_position bigint, last_position bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME', 'readmodel_append';
COMMENT ON FUNCTION readmodel.append(regclass, text, jsonb, bigint) IS
'appends events to the end of a stream and returns the version of the last one and the positions of the first and the last; events: [{"type": text, "data": any JSON, default {}, "metadata": any JSON, default null}, ..]; expected_version: the version that the stream must be at, 0: a new stream, NULL: any; runs with the rights of the caller, who needs INSERT and SELECT on the table; errors: RM010 the stream is at another version (nothing is appended), 40001 lost a race against a writer that does not use append(), or under REPEATABLE READ (retry), 22023 malformed events, 22004 a null argument, 42703 or 42804 the table lacks the columns of create_event_table()';

-- Fires for every row: no SET clause. It runs no SQL.
CREATE FUNCTION readmodel_catalog.guard_positions() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'readmodel_guard_positions';
COMMENT ON FUNCTION readmodel_catalog.guard_positions() IS
'trigger of a source with settle => guarded, made by create_source: refuses (RM011) an event at or below the settled position, and moves the sequence on to a position above its last number';
REVOKE ALL ON FUNCTION readmodel_catalog.guard_positions() FROM PUBLIC;

-- Needs the caller's search_path, which it captures for the expressions, and pins its own in C.
CREATE FUNCTION readmodel.create_source(name text, events regclass, position_column name DEFAULT 'position',
                                        type text DEFAULT 'type', stream text DEFAULT 'stream_id', data text DEFAULT 'data',
                                        metadata text DEFAULT NULL, occurred_at text DEFAULT NULL,
                                        settle text DEFAULT 'sequence') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'readmodel_create_source';
COMMENT ON FUNCTION readmodel.create_source(text, regclass, name, text, text, text, text, text, text) IS
'registers an event table as a source that queries can be defined over; position_column: a bigint column that draws from one sequence (identity or nextval default) and that an index leads with; type, stream (text), data, metadata (jsonb), occurred_at (timestamptz): SQL expressions over the row of the table, a column name being the simplest, without subqueries, aggregates, sets and volatile functions; settle: sequence; guarded, which adds triggers that refuse positions that come too late (RM011), and needs a unique position; or gap_timeout for a table without a sequence, which is a heuristic; only for the owner of the table; errors: 42710 the name is taken, 55000 the table cannot prove that no event is skipped (CACHE, increment, CYCLE, index, no sequence), 42809 no permanent table, 42501 not the owner, or row-level security hides events, and those of the expressions';
REVOKE ALL ON FUNCTION readmodel.create_source(text, regclass, name, text, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION readmodel.drop_source(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_drop_source';
COMMENT ON FUNCTION readmodel.drop_source(text) IS
'removes a source; its event table stays as it is; only for the owner of the event table, or for everybody who may call this function when that table is gone; errors: RM006 no such source, 2BP01 queries use it, 42501 not the owner';
REVOKE ALL ON FUNCTION readmodel.drop_source(text) FROM PUBLIC;

CREATE FUNCTION readmodel.source_status()
    RETURNS TABLE (name text, events regclass, settled_position bigint, head_position bigint, pending_hole bigint,
                   blocked_by integer[], blocked_for interval, batches bigint, lock_lookups bigint, events_read bigint)
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_source_status';
COMMENT ON FUNCTION readmodel.source_status() IS
'the sources whose event table the caller owns, or all for members of pg_monitor and roles of grant_reader(); events: NULL if the table is gone; settled_position: no event can be committed at or below it any more, NULL while no worker has looked; head_position: the highest position that this statement sees, NULL if there is none or the table cannot be read; pending_hole: the first missing position that a transaction may still fill, NULL also while it is not known where the positions begin; blocked_by: process ids of the transactions that may (0: a prepared one); blocked_for: since when; batches, lock_lookups, events_read: counted since the worker started';
