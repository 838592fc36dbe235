-- What the cases of cases.sql and more_cases.sql should come to, and what an engine makes of them, in words that can be compared.

SET search_path = spec_cases;

CREATE TYPE instance AS (id text, state jsonb, "position" bigint);

-- The events of a case, as rows.
CREATE FUNCTION case_rows(events jsonb)
RETURNS TABLE ("position" bigint, type text, stream_id text, data jsonb, metadata jsonb, occurred_at timestamptz) LANGUAGE sql AS $$
    SELECT n, CASE jsonb_typeof(event) WHEN 'array' THEN event ->> 0 ELSE event ->> 'type' END, event ->> 'stream',
        CASE jsonb_typeof(event) WHEN 'array' THEN event -> 1 ELSE event -> 'data' END, event -> 'metadata',
        (event ->> 'occurred_at')::timestamptz
    FROM jsonb_array_elements(events) WITH ORDINALITY AS e (event, n)
$$;

-- Instances; one without an id is an error.
CREATE FUNCTION told(instances instance[], with_positions boolean) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(CASE WHEN id IS NULL THEN format('error %s at %s', state ->> 'sqlstate', position)
        ELSE concat_ws(' ', quote_ident(id), state, CASE WHEN with_positions THEN 'at ' || position END) END, '; ' ORDER BY id COLLATE "C"), '')
    FROM unnest(instances)
$$;

CREATE FUNCTION wanted(wanted cases) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce('invalid spec at ' || wanted.invalid_at, spec_cases.told(
        (SELECT array_agg((id, state, wanted.positions -> id)::spec_cases.instance) FROM jsonb_each(wanted.expected) AS e (id, state))
            || ARRAY(SELECT (NULL, jsonb_build_object('sqlstate', wanted.error_sqlstate), wanted.error_position)::spec_cases.instance
                WHERE wanted.error_position IS NOT NULL),
        wanted.positions IS NOT NULL))
$$;

CREATE FUNCTION by_interpreter(given cases) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found spec_cases.instance[];
BEGIN
    CREATE TEMP TABLE IF NOT EXISTS case_event
        (position bigint, type text, stream_id text, data jsonb, metadata jsonb, occurred_at timestamptz);
    DELETE FROM pg_temp.case_event;
    INSERT INTO pg_temp.case_event SELECT * FROM spec_cases.case_rows(given.events);
    found := ARRAY(SELECT (id, state, position)::spec_cases.instance FROM spec_interpreter.fold(given.spec, 'pg_temp.case_event'));
    RETURN spec_cases.told(found, given.positions IS NOT NULL);
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN SQLERRM;
END $$;
