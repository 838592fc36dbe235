-- The spec language, run: an independent fold, written from the language's rules alone (see compile.sql). It is meant to be clear
-- rather than fast; numbers are numeric throughout. A missing value is SQL's NULL, JSON's null is 'null'.

SET search_path = spec_interpreter;

-- What the roots of paths stand for.
CREATE TYPE scope AS (data jsonb, type jsonb, "position" jsonb, stream jsonb, occurred_at jsonb, metadata jsonb, item jsonb, state jsonb);

-- An updater error.
CREATE FUNCTION fail(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = 'invalid_parameter_value';
END $$;

-- All that a path finds, in order.
CREATE FUNCTION find(path jsonb, scope scope) RETURNS jsonb[] LANGUAGE plpgsql AS $$
DECLARE
    root jsonb := CASE path ->> 'root'
        WHEN '$' THEN scope.data
        WHEN '$event.type' THEN scope.type
        WHEN '$event.position' THEN scope.position
        WHEN '$event.stream' THEN scope.stream
        WHEN '$event.occurredAt' THEN scope.occurred_at
        WHEN '$event.metadata' THEN scope.metadata
        WHEN '$item' THEN scope.item
        WHEN '$state' THEN scope.state
        END;
    found jsonb[] := '{}';
    next jsonb[];
    value jsonb;
    step jsonb;
BEGIN
    IF root IS NOT NULL THEN
        found := ARRAY[root];
    END IF;
    FOR i IN 0 .. jsonb_array_length(path -> 'steps') - 1 LOOP
        step := path -> 'steps' -> i;
        next := '{}';
        FOREACH value IN ARRAY found LOOP
            CASE
                WHEN jsonb_typeof(step) = 'string' AND jsonb_typeof(value) = 'object' THEN
                    IF value ? (step #>> '{}') THEN
                        next := next || (value -> (step #>> '{}'));
                    END IF;
                WHEN jsonb_typeof(step) = 'number' AND jsonb_typeof(value) = 'array' THEN
                    IF step::numeric < jsonb_array_length(value) THEN
                        next := next || (value -> step::int);
                    END IF;
                WHEN jsonb_typeof(step) = 'boolean' AND jsonb_typeof(value) = 'array' THEN
                    next := next || ARRAY(SELECT jsonb_array_elements(value));
                ELSE
                    NULL;
            END CASE;
        END LOOP;
        found := next;
    END LOOP;
    RETURN found;
END $$;

CREATE FUNCTION evaluate(node jsonb, scope scope) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    found jsonb[];
    result jsonb;
    value jsonb;
    part jsonb;
BEGIN
    CASE
        WHEN node ? 'literal' THEN
            RETURN node -> 'literal';
        WHEN node ? 'path' THEN
            found := find(node -> 'path', scope);
            IF cardinality(found) = 0 THEN
                RETURN NULL;
            ELSIF (node -> 'path' -> 'many')::boolean THEN
                RETURN to_jsonb(found);
            END IF;
            RETURN found[1];
        WHEN node ? 'object' THEN
            result := '{}';
            FOR part IN SELECT jsonb_array_elements(node -> 'object') LOOP
                value := evaluate(part -> 1, scope);
                IF value IS NOT NULL THEN
                    result := result || jsonb_build_object(part ->> 0, value);
                END IF;
            END LOOP;
            RETURN result;
        WHEN node ? 'array' THEN
            result := '[]';
            FOR part IN SELECT jsonb_array_elements(node -> 'array') LOOP
                value := evaluate(part, scope);
                IF value IS NOT NULL THEN
                    result := result || jsonb_build_array(value);
                END IF;
            END LOOP;
            RETURN result;
    END CASE;
END $$;

-- Less than 0, 0 or more: only numbers, or texts, have an order among them; NULL otherwise.
CREATE FUNCTION compare(x jsonb, y jsonb) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(x) = 'number' AND jsonb_typeof(y) = 'number' THEN
        RETURN CASE WHEN x::numeric < y::numeric THEN -1 WHEN x::numeric > y::numeric THEN 1 ELSE 0 END;
    ELSIF jsonb_typeof(x) = 'string' AND jsonb_typeof(y) = 'string' THEN
        -- By code point, which is by byte in UTF-8.
        RETURN CASE WHEN (x #>> '{}') COLLATE "C" < (y #>> '{}') THEN -1 WHEN (x #>> '{}') COLLATE "C" > (y #>> '{}') THEN 1 ELSE 0 END;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION holds(condition jsonb, scope scope) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    word text;
    operand jsonb;
    x jsonb;
    y jsonb;
    ordered int;
BEGIN
    SELECT * INTO word, operand FROM jsonb_each(condition);
    CASE word
        WHEN 'exists' THEN
            RETURN cardinality(find(operand, scope)) > 0;
        WHEN 'not' THEN
            RETURN NOT holds(operand, scope);
        WHEN 'and' THEN
            FOR x IN SELECT jsonb_array_elements(operand) LOOP
                IF NOT holds(x, scope) THEN
                    RETURN false;
                END IF;
            END LOOP;
            RETURN true;
        WHEN 'or' THEN
            FOR x IN SELECT jsonb_array_elements(operand) LOOP
                IF holds(x, scope) THEN
                    RETURN true;
                END IF;
            END LOOP;
            RETURN false;
        ELSE
            NULL;
    END CASE;
    x := evaluate(operand -> 0, scope);
    y := evaluate(operand -> 1, scope);
    IF x IS NULL OR y IS NULL THEN
        RETURN false;
    END IF;
    ordered := compare(x, y);
    RETURN CASE word
        WHEN 'eq' THEN x = y
        WHEN 'ne' THEN x <> y
        WHEN 'lt' THEN coalesce(ordered < 0, false)
        WHEN 'le' THEN coalesce(ordered <= 0, false)
        WHEN 'gt' THEN coalesce(ordered > 0, false)
        WHEN 'ge' THEN coalesce(ordered >= 0, false)
        WHEN 'in' THEN jsonb_typeof(y) = 'array'
            AND EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(y) WHEN 'array' THEN y END) AS member WHERE member = x)
        END;
END $$;

-- An id, an alias or a computed name. NULL: there is none.
CREATE FUNCTION text_of(value jsonb, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(value) IN ('boolean', 'array', 'object') THEN
        PERFORM fail(format('a %s cannot be %s', jsonb_typeof(value), what));
    END IF;
    RETURN value #>> '{}';    -- of null it is NULL
END $$;

-- The names that a target has for this event. NULL: one of them is missing.
CREATE FUNCTION resolve(target jsonb, scope scope) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    names text[] := '{}';
    name jsonb;
    resolved text;
BEGIN
    FOR i IN 0 .. jsonb_array_length(target) - 1 LOOP
        name := target -> i;
        IF jsonb_typeof(name) = 'string' THEN
            resolved := name #>> '{}';
        ELSE
            resolved := text_of((find(name, scope))[1], 'the name of a member');
            IF resolved IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;
        names := names || resolved;
    END LOOP;
    RETURN names;
END $$;

-- What is at the target now. NULL: nothing. Parents have to be objects, so far as they exist.
CREATE FUNCTION look(state jsonb, names text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    current jsonb := state;
BEGIN
    FOR i IN 1 .. cardinality(names) LOOP
        IF current IS NULL THEN
            RETURN NULL;
        ELSIF jsonb_typeof(current) <> 'object' THEN
            PERFORM fail(format('a parent of "%s" is no object', array_to_string(names, '.')));
        END IF;
        current := current -> names[i];
    END LOOP;
    RETURN current;
END $$;

-- The state with this value at the target; parents are made.
CREATE FUNCTION put(state jsonb, names text[], value jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(state, '{}') || jsonb_build_object(names[1],
        CASE WHEN cardinality(names) = 1 THEN value ELSE spec_interpreter.put(state -> names[1], names[2:], value) END)
$$;

-- Whether a member of a list has what "where" asks for.
CREATE FUNCTION matches(member jsonb, wanted jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_typeof(member) = 'object'
        AND (SELECT bool_and(coalesce(member -> name = value, false)) FROM jsonb_each(wanted) AS w (name, value))
$$;

-- A target's new value, from what is there (NULL: missing) and the operand, neither skipped. NULL: nothing is there afterwards.
CREATE FUNCTION operate(operation text, there jsonb, value jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    kind text := CASE WHEN there <> 'null' THEN jsonb_typeof(there) END;    -- NULL: missing or null
    wanted text := CASE
        WHEN operation = 'merge' THEN 'object'
        WHEN operation = 'add' THEN 'number'
        WHEN operation IN ('append', 'upsert', 'remove', 'keep') THEN 'array'
        END;
    members jsonb;
    position int;
BEGIN
    IF operation IN ('merge', 'add') AND jsonb_typeof(value) <> wanted
        OR operation IN ('min', 'max') AND jsonb_typeof(value) NOT IN ('number', 'string') THEN
        PERFORM fail(format('cannot %s: the value is %s', operation, jsonb_typeof(value)));
    ELSIF kind <> wanted OR operation IN ('min', 'max') AND kind <> jsonb_typeof(value) THEN
        PERFORM fail(format('cannot %s: the target is %s', operation, kind));
    END IF;
    CASE operation
        WHEN 'default' THEN
            RETURN coalesce(there, value);
        WHEN 'set' THEN
            RETURN value;
        WHEN 'unset' THEN
            RETURN NULL;
        WHEN 'merge' THEN
            RETURN CASE WHEN kind IS NULL THEN value ELSE there || value END;
        WHEN 'add' THEN
            RETURN CASE WHEN kind IS NULL THEN value ELSE to_jsonb(there::numeric + value::numeric) END;
        WHEN 'min' THEN
            RETURN CASE WHEN kind IS NULL OR compare(value, there) < 0 THEN value ELSE there END;
        WHEN 'max' THEN
            RETURN CASE WHEN kind IS NULL OR compare(value, there) > 0 THEN value ELSE there END;
        WHEN 'append' THEN
            RETURN CASE WHEN kind IS NULL THEN '[]' ELSE there END || jsonb_build_array(value);
        WHEN 'keep' THEN
            IF kind IS NULL THEN
                RETURN there;
            END IF;
            RETURN (SELECT coalesce(jsonb_agg(member ORDER BY n), '[]')
                FROM jsonb_array_elements(there) WITH ORDINALITY AS list (member, n)
                WHERE n > jsonb_array_length(there) - value::numeric);
        WHEN 'remove' THEN
            IF kind IS NULL THEN
                RETURN there;
            END IF;
            RETURN (SELECT coalesce(jsonb_agg(member ORDER BY n), '[]')
                FROM jsonb_array_elements(there) WITH ORDINALITY AS list (member, n)
                WHERE NOT matches(member, value -> 'where'));
        WHEN 'upsert' THEN
            members := CASE WHEN kind IS NULL THEN '[]' ELSE there END;
            SELECT min(n) - 1 INTO position
            FROM jsonb_array_elements(members) WITH ORDINALITY AS list (member, n)
            WHERE matches(member, value -> 'where');
            IF position IS NULL THEN
                RETURN members || jsonb_build_array((value -> 'where') || (value -> 'set'));
            END IF;
            RETURN jsonb_set(members, ARRAY[position::text], (members -> position) || (value -> 'set'));
    END CASE;
END $$;

-- The operand for this event. NULL: the operation is skipped.
CREATE FUNCTION operand(operation text, node jsonb, scope scope) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    wanted jsonb;
    value jsonb;
BEGIN
    IF operation IN ('upsert', 'remove') THEN
        wanted := evaluate(jsonb_build_object('object', node -> 'where'), scope);
        IF (SELECT count(*) FROM jsonb_object_keys(wanted)) < jsonb_array_length(node -> 'where') THEN
            RETURN NULL;
        END IF;
        RETURN jsonb_build_object('where', wanted,
            'set', evaluate(jsonb_build_object('object', coalesce(node -> 'set', '[]')), scope));
    END IF;
    value := evaluate(node, scope);
    IF value = 'null' AND operation IN ('merge', 'add', 'min', 'max') THEN
        RETURN NULL;
    END IF;
    RETURN value;
END $$;

-- How deep a document is nested; its text says it.
CREATE FUNCTION depth(document jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(max(level), 0)
    FROM (
        SELECT sum(CASE WHEN bracket[1] IN ('{', '[') THEN 1 ELSE -1 END) OVER (ORDER BY n) AS level
        FROM regexp_matches(regexp_replace(document::text, '"(?:[^"\\]|\\.)*"', '', 'g'), '[][{}]', 'g')
            WITH ORDINALITY AS found (bracket, n)) AS levels
$$;

-- All that a fold has made so far: {id: state}, {id: position}, {alias: id}.
CREATE TYPE world AS (states jsonb, positions jsonb, aliases jsonb);

-- A step for one instance.
CREATE FUNCTION apply_step(world world, step jsonb, id text, at_position bigint, scope scope) RETURNS world LANGUAGE plpgsql AS $$
DECLARE
    before jsonb := world.states -> id;
    after jsonb := before;
    changed boolean := false;
    operation jsonb;
    names text[];
    value jsonb;
    there jsonb;
    new jsonb;
    alias text;
BEGIN
    scope.state := before;    -- what all of the step's paths read
    IF step ? 'when' AND NOT holds(step -> 'when', scope) THEN
        RETURN world;
    END IF;
    FOR operation IN SELECT jsonb_array_elements(step -> 'operations') LOOP
        names := resolve(operation -> 1, scope);
        CONTINUE WHEN names IS NULL;
        value := operand(operation ->> 0, operation -> 2, scope);
        CONTINUE WHEN value IS NULL;
        there := look(after, names);
        new := operate(operation ->> 0, there, value);
        -- Digits count: 5 and 5.00 are different here.
        CONTINUE WHEN new::text IS NOT DISTINCT FROM there::text;
        after := CASE WHEN new IS NULL THEN after #- names ELSE put(after, names, new) END;
        changed := true;
    END LOOP;
    -- A state that holds itself twice doubles with every event, which this interpreter, unlike the extension, has no time for.
    IF changed AND length(after::text) > 1000000 THEN
        RAISE EXCEPTION 'the state has outgrown the interpreter' USING ERRCODE = 'OUTGR';
    END IF;
    -- Without as many brackets it cannot be too deep.
    IF changed AND length(after::text) - length(translate(after::text, '{[', '')) > 1000 AND depth(after) > 1000 THEN
        RAISE EXCEPTION 'the state is nested too deep' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    IF (step -> 'delete')::boolean THEN
        world.states := world.states - id;
        world.positions := world.positions - id;
        world.aliases := (SELECT coalesce(jsonb_object_agg(a.alias, a.id), '{}') FROM jsonb_each_text(world.aliases) AS a (alias, id)
            WHERE a.id <> apply_step.id);
    ELSIF changed THEN
        world.states := world.states || jsonb_build_object(id, after);
        world.positions := world.positions || jsonb_build_object(id, at_position);
    END IF;
    IF step ? 'alias' THEN
        alias := text_of((find(step -> 'alias', scope))[1], 'an alias');
        IF alias IS NOT NULL THEN
            world.aliases := world.aliases || jsonb_build_object(alias, id);
        END IF;
    END IF;
    RETURN world;
END $$;

-- A step, for every instance that its key names.
CREATE FUNCTION apply_keyed(world world, step jsonb, at_position bigint, scope scope) RETURNS world LANGUAGE plpgsql AS $$
DECLARE
    key jsonb := step -> 'key';
    items jsonb[] := ARRAY['null'::jsonb];    -- without "each": once, and nothing reads the item
    item jsonb;
    id text;
BEGIN
    IF key ? 'each' THEN
        items := find(key -> 'each', scope);
        IF NOT (key -> 'each' -> 'many')::boolean THEN
            items := ARRAY(SELECT jsonb_array_elements(CASE WHEN jsonb_typeof(items[1]) = 'array' THEN items[1] ELSE '[]' END));
        END IF;
    END IF;
    FOREACH item IN ARRAY items LOOP
        scope.item := item;
        CASE
            WHEN key ? 'constant' THEN
                id := key ->> 'constant';
            WHEN key ? 'path' THEN
                id := text_of((find(key -> 'path', scope))[1], 'an id');
            WHEN key ? 'alias' THEN
                id := world.aliases ->> text_of((find(key -> 'alias', scope))[1], 'an alias');
        END CASE;
        IF id IS NOT NULL THEN
            world := apply_step(world, step, id, at_position, scope);
        END IF;
    END LOOP;
    RETURN world;
END $$;

-- Folds a table of events (as readmodel.create_event_table makes them) and returns the instances. A row without an id is an
-- updater error: the position of the event that failed, and in its state SQLSTATE and message; the others are as they were before
-- that event. `mapped`: whether the source maps metadata and occurred_at. Raises OUTGR where a state grows beyond 1,000,000 characters.
CREATE FUNCTION fold(spec jsonb, events regclass, mapped boolean DEFAULT true) RETURNS TABLE (id text, state jsonb, "position" bigint)
LANGUAGE plpgsql SET search_path = spec_interpreter, pg_temp AS $$
DECLARE
    compiled jsonb := compile(spec);
    world world := ('{}', '{}', '{}');
    next world;
    event record;
    scope scope;
    steps jsonb;
    step jsonb;
BEGIN
    FOR event IN EXECUTE format('SELECT position, type, stream_id, data, metadata, occurred_at FROM %s ORDER BY position', events) LOOP
        steps := coalesce(compiled -> 'on' -> event.type, compiled -> 'on' -> '*');
        CONTINUE WHEN steps IS NULL;
        scope := (event.data, to_jsonb(event.type), to_jsonb(event.position), to_jsonb(event.stream_id),
            CASE WHEN mapped THEN to_jsonb(to_char(event.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) END,
            CASE WHEN mapped THEN event.metadata END, NULL, NULL);
        BEGIN
            next := world;
            FOR step IN SELECT jsonb_array_elements(steps) LOOP
                next := apply_keyed(next, step, event.position, scope);
            END LOOP;
            world := next;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            RETURN QUERY SELECT NULL::text, jsonb_build_object('message', SQLERRM, 'sqlstate',
                -- Numeric's range is a limit like others.
                CASE SQLSTATE WHEN '22003' THEN '54000' ELSE SQLSTATE END), event.position;
            EXIT;
        END;
    END LOOP;
    RETURN QUERY SELECT key, value, (world.positions -> key)::bigint FROM jsonb_each(world.states);
END $$;
