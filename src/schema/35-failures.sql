-- What failed: events that were passed over, and what has brought down the server.

-- The attempts to fold a generation that ended the process that made them, or the server.
CREATE TABLE readmodel_catalog.attempt (
    generation_id integer PRIMARY KEY,
    attempts integer NOT NULL,                     -- in a row, without any progress
    progress numeric,                              -- where the generation stood
    position bigint,                               -- the event in hand at the last one
    ended_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE readmodel_catalog.attempt IS 'generations whose fold has ended the server or a worker; the third time in a row they fail';
REVOKE ALL ON TABLE readmodel_catalog.attempt FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('readmodel_catalog.attempt', '');

CREATE FUNCTION readmodel.dead_letters(name text,
        OUT generation integer, OUT "position" bigint, OUT sqlstate text, OUT message text, OUT failed_at timestamptz)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 10 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'readmodel_dead_letters';
COMMENT ON FUNCTION readmodel.dead_letters(text) IS
    'the events that a query with the option on_error = skip could not apply and has passed over, of its newest and its serving generation; message for the owner and pg_monitor only, since it can quote data. Errors: RM006 no such query, 42501 the caller may not see it';

CREATE FUNCTION readmodel.discard_dead_letter(name text, at_position bigint) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'readmodel_discard_dead_letter';
COMMENT ON FUNCTION readmodel.discard_dead_letter(text, bigint) IS
    'gives up an event that a query of one''s own has passed over: it is listed no more, does not count for max_dead_letters, and is left out for good by the generations that are there; one that is built anew tries it again. A NOTICE tells what was done. Errors: RM006 no such query, 42501 not the owner, 22004 a null argument';

REVOKE EXECUTE ON FUNCTION readmodel.discard_dead_letter(text, bigint) FROM PUBLIC;
