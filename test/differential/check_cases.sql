-- Runs the cases of cases.sql and more_cases.sql through an engine and returns those that come out otherwise.

SET search_path = spec_cases;

-- The events of a case, as a table that an engine can read.
CREATE FUNCTION make_events(events jsonb) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE IF NOT EXISTS case_event
        (position bigint, type text, stream_id text, data jsonb, metadata jsonb, occurred_at timestamptz);
    DELETE FROM pg_temp.case_event;
    INSERT INTO pg_temp.case_event
    SELECT n, CASE WHEN jsonb_typeof(event) = 'array' THEN event ->> 0 ELSE event ->> 'type' END, event ->> 'stream',
        CASE WHEN jsonb_typeof(event) = 'array' THEN event -> 1 ELSE event -> 'data' END, event -> 'metadata',
        (event ->> 'occurred_at')::timestamptz
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (event, n);
    RETURN 'pg_temp.case_event'::regclass;
END $$;

-- As the interpreter does it: a row without an id is an error.
CREATE FUNCTION by_interpreter(spec jsonb, events jsonb) RETURNS TABLE (id text, state jsonb, "position" bigint)
LANGUAGE plpgsql SET client_min_messages = warning AS $$
BEGIN
    RETURN QUERY SELECT * FROM spec_interpreter.fold(spec, spec_cases.make_events(events));
END $$;

-- What an engine makes of a case, in words that can be compared and read.
CREATE FUNCTION outcome(engine regproc, spec jsonb, events jsonb, with_positions boolean) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format($query$
        SELECT coalesce(string_agg(CASE WHEN id IS NULL THEN format('error %%s at %%s', state ->> 'sqlstate', position)
            ELSE concat_ws(' ', quote_ident(id), state, CASE WHEN $3 THEN 'at ' || position END) END, '; ' ORDER BY id COLLATE "C"), '')
        FROM %s($1, $2)$query$, engine) INTO result USING spec, events, with_positions;
    RETURN result;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN SQLERRM;
END $$;

CREATE FUNCTION wanted(wanted cases) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN wanted.invalid_at IS NOT NULL THEN 'invalid spec at ' || wanted.invalid_at ELSE concat_ws('; ',
        (SELECT string_agg(concat_ws(' ', quote_ident(id), state, 'at ' || (wanted.positions ->> id)), '; ' ORDER BY id COLLATE "C")
            FROM jsonb_each(wanted.expected) AS instance (id, state)),
        format('error %s at %s', wanted.error_sqlstate, wanted.error_position)) END
    WHERE wanted.error_position IS NOT NULL OR wanted.invalid_at IS NOT NULL
    UNION ALL
    SELECT coalesce(string_agg(concat_ws(' ', quote_ident(id), state, 'at ' || (wanted.positions ->> id)), '; ' ORDER BY id COLLATE "C"), '')
    FROM jsonb_each(wanted.expected) AS instance (id, state)
    WHERE wanted.error_position IS NULL AND wanted.invalid_at IS NULL
$$;

CREATE FUNCTION differences(engine regproc) RETURNS TABLE (name text, wanted text, found text) LANGUAGE sql AS $$
    SELECT * FROM (
        SELECT c.name, spec_cases.wanted(c), spec_cases.outcome(engine, c.spec, c.events, c.positions IS NOT NULL)
        FROM spec_cases.cases AS c) AS compared (name, wanted, found)
    WHERE wanted IS DISTINCT FROM found
$$;
