-- Looking inside: states folded afresh from the log, and instances that are made anew.

CREATE FUNCTION readmodel.fold(events jsonb, updater regprocedure DEFAULT NULL, key text DEFAULT NULL, spec jsonb DEFAULT NULL)
    RETURNS TABLE (id text, state jsonb)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_fold';
COMMENT ON FUNCTION readmodel.fold(jsonb, regprocedure, text, jsonb) IS
    'folds the given events with an updater and a key, or a spec, and returns the states, by id: for tests of an updater. events: as append() takes them, with "position" (by default 1, 2, ..), "stream" and "occurredAt" where the updater reads them. Needs no table and no source; the updater runs as the caller, surrounded and restricted as in a worker, and cannot write. Errors: the updater''s own, whose CONTEXT names the event''s position; unfit arguments as define_query; 22023 unfit events';

CREATE FUNCTION readmodel.verify(name text, sample integer DEFAULT NULL)
    RETURNS TABLE (id text, stored jsonb, folded jsonb, stored_position bigint, folded_position bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_verify';
COMMENT ON FUNCTION readmodel.verify(text, integer) IS
    'folds the states of a query of one''s own afresh from the log, as of its checkpoint under the statement''s snapshot, and returns a row for each instance that differs from the stored one: no rows, no difference. NULL where there is no such instance. sample: so many of the stored instances, chosen at random; NULL: all, and those that are missing. Dead letters are left out. Reads the whole log up to the checkpoint, once or, where the states are larger than readmodel.state_cache, several times; writes nothing. Errors: RM006 no such query, 42501 not the owner, 22023 sample below 1, 55000 its updater was changed or its rebuild is split, 40001 a table was changed concurrently';

CREATE FUNCTION readmodel.state_at(name text, id text, at_position bigint) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_state_at';
COMMENT ON FUNCTION readmodel.state_at(text, text, bigint) IS
    'the state that an instance of a query of one''s own had when it had applied all up to this position, by the definition that serves now; NULL if there was no such instance. Reads the log up to the position; writes nothing. Errors: RM006 no such query, 42501 not the owner, 22023 the query has not come to that position, 22P02 the id is no value of the key''s type, 55000 and 40001 as verify';

CREATE FUNCTION readmodel.history(name text, id text)
    RETURNS TABLE ("position" bigint, type text, data jsonb, state jsonb)
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_history';
COMMENT ON FUNCTION readmodel.history(text, text) IS
    'the events up to the checkpoint that concern an instance of a query of one''s own, in order, also those that left it unchanged, each with the state after it (NULL: no such instance then). Dead letters are left out. Reads the whole log up to the checkpoint; writes nothing. Errors: RM006 no such query, 42501 not the owner, 22P02, 55000 and 40001 as state_at';

CREATE FUNCTION readmodel.rebuild_instance(name text, id text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_rebuild_instance';
COMMENT ON FUNCTION readmodel.rebuild_instance(text, text) IS
    'folds one instance of a query of one''s own afresh from the log and stores what comes out, in all generations that have states: after events of it were corrected or erased. NOTICEs tell what was done. Reads the whole log up to the checkpoint, which is held meanwhile: the query does not go on before the transaction ends. Errors: RM006 no such query, 42501 not the owner, 22P02 the id is no value of the key''s type, 55000 its updater was changed or its rebuild is split; the updater''s own, whose CONTEXT names the event''s position';

REVOKE EXECUTE ON FUNCTION readmodel.rebuild_instance(text, text) FROM PUBLIC;

CREATE FUNCTION readmodel.retry_dead_letters(name text, at_position bigint DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_retry_dead_letters';
COMMENT ON FUNCTION readmodel.retry_dead_letters(text, bigint) IS
    'applies events that a query of one''s own has passed over, all or the one at this position, in all generations that have states; returns how many were applied. Each instance that such an event concerns is folded afresh from the log, with the event in its place, so a late event corrupts no state. An event that fails again, or that makes a later one fail, stays a dead letter with that error. Reads the whole log up to the checkpoint, once for up to a thousand letters; the query does not go on before the transaction ends. NOTICEs tell what was done. Errors: RM006 no such query, 42501 not the owner, 55000 its updater was changed or its rebuild is split';

REVOKE EXECUTE ON FUNCTION readmodel.retry_dead_letters(text, bigint) FROM PUBLIC;
