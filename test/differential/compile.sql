-- The spec language, read: a spec is checked and turned into a form that interpreter.sql walks. Written from the language's rules
-- alone, as a second opinion on the extension; so it must never borrow from src/fold, nor call it.
--
-- Compiled forms, all jsonb:
--   path        {"root": "$" | "$event.type" | .. | "$item" | "$state", "steps": ["name", 0, true for [*], ..], "many": has [*]}
--   value       {"literal": v} | {"path": path} | {"object": [["name", value], ..]} | {"array": [value, ..]}
--   target      ["name", {path of a computed name}, ..]
--   condition   {"exists": path} | {"eq": [value, value]} | .. | {"in": [value, [value, ..] or value]} | {"and": [..]} | {"not": ..}
--   key         {"constant": id} | {"path": path} | {"alias": path}, each also with "each": path
--   step        {"when", "key", "alias", "delete", "operations": [[operation, target, value], ..]}
--   spec        {"on": {type: [step, ..]}}, every step with the key that it has in the end

CREATE SCHEMA spec_interpreter;
SET search_path = spec_interpreter;

CREATE FUNCTION invalid(pointer text, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'invalid spec at %', CASE pointer WHEN '' THEN 'the top level' ELSE pointer END USING ERRCODE = 'invalid_parameter_value', DETAIL = what;
END $$;

-- A member's JSON pointer (RFC 6901).
CREATE FUNCTION below(pointer text, member text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT pointer || '/' || replace(replace(member, '~', '~0'), '/', '~1')
$$;

-- What a path may be, where it stands.
CREATE TYPE allowance AS (item boolean, state boolean, many boolean);

-- A quoted name as JSON reads it.
CREATE FUNCTION unquote(quoted text, pointer text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN quoted::jsonb #>> '{}';
EXCEPTION WHEN data_exception THEN
    PERFORM invalid(pointer, 'no JSON string: ' || quoted);
END $$;

-- The path that a text begins with, and what follows it.
CREATE FUNCTION parse_path(source text, pointer text, allowed allowance, OUT path jsonb, OUT rest text) LANGUAGE plpgsql AS $$
DECLARE
    bare_name CONSTANT text := '(?:[A-Za-z_]|[^\x01-\x7F])(?:[A-Za-z0-9_$]|[^\x01-\x7F])*';
    quoted_name CONSTANT text := '"(?:[^"\\]|\\.)*"';
    steps jsonb := '[]';
    many boolean := false;
    root text := substring(source from '^\$(?:' || bare_name || ')?');
    found text;
BEGIN
    rest := substr(source, length(root) + 1);
    IF root = '$event' THEN
        found := substring(rest from '^\.(?:type|position|stream|occurredAt|metadata)(?![A-Za-z0-9_$]|[^\x01-\x7F])');
        IF found IS NULL THEN
            PERFORM invalid(pointer, '$event has type, position, stream, occurredAt, metadata');
        END IF;
        root := root || found;
        rest := substr(rest, length(found) + 1);
    ELSIF root NOT IN ('$', '$item', '$state') THEN
        PERFORM invalid(pointer, 'a path begins with $, $event, $item or $state');
    END IF;
    IF root = '$item' AND NOT allowed.item THEN
        PERFORM invalid(pointer, '$item is known to a key with "each" only');
    ELSIF root = '$state' AND NOT allowed.state THEN
        PERFORM invalid(pointer, '$state cannot be read here');
    END IF;
    LOOP
        IF rest ~ ('^\.' || bare_name) THEN
            found := substring(rest from '^\.' || bare_name);
            steps := steps || to_jsonb(substr(found, 2));
        ELSIF rest ~ ('^\.' || quoted_name) THEN
            found := substring(rest from '^\.' || quoted_name);
            steps := steps || to_jsonb(unquote(substr(found, 2), pointer));
        ELSIF rest ~ '^\[[0-9]+\]' THEN
            found := substring(rest from '^\[[0-9]+\]');
            steps := steps || to_jsonb(trim(found, '[]')::numeric);
        ELSIF rest ~ '^\[\*\]' THEN
            found := '[*]';
            steps := steps || 'true'::jsonb;
            many := true;
        ELSE
            EXIT;
        END IF;
        rest := substr(rest, length(found) + 1);
    END LOOP;
    IF many AND NOT allowed.many THEN
        PERFORM invalid(pointer, '[*] may find many, and one is needed');
    ELSIF jsonb_array_length(steps) > 100 THEN
        PERFORM invalid(pointer, 'a path has 100 steps at most');
    END IF;
    path := jsonb_build_object('root', root, 'steps', steps, 'many', many);
END $$;

-- A text that is a path and nothing else.
CREATE FUNCTION compile_path(source jsonb, pointer text, allowed allowance) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    path jsonb;
    rest text;
BEGIN
    IF jsonb_typeof(source) <> 'string' OR source #>> '{}' !~ '^\$' OR source #>> '{}' ~ '^\$\$' THEN
        PERFORM invalid(pointer, 'a path is expected');
    END IF;
    SELECT * INTO path, rest FROM parse_path(source #>> '{}', pointer, allowed);
    IF rest <> '' THEN
        PERFORM invalid(pointer, 'no path goes on with ' || rest);
    END IF;
    RETURN path;
END $$;

-- Literals without a path in them stay whole.
CREATE FUNCTION compile_value(source jsonb, pointer text, item boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    parts jsonb := '[]';
    name text;
    member jsonb;
    i int := 0;
BEGIN
    IF jsonb_typeof(source) = 'string' AND source #>> '{}' ~ '^\$\$' THEN
        RETURN jsonb_build_object('literal', substr(source #>> '{}', 2));
    ELSIF jsonb_typeof(source) = 'string' AND source #>> '{}' ~ '^\$' THEN
        RETURN jsonb_build_object('path', compile_path(source, pointer, (item, true, true)));
    ELSIF jsonb_typeof(source) = 'object' AND source <> '{}' THEN
        FOR name, member IN SELECT * FROM jsonb_each(source) LOOP
            parts := parts || jsonb_build_array(jsonb_build_array(name, compile_value(member, below(pointer, name), item)));
        END LOOP;
        RETURN jsonb_build_object('object', parts);
    ELSIF jsonb_typeof(source) = 'array' AND source <> '[]' THEN
        FOR member IN SELECT jsonb_array_elements(source) LOOP
            parts := parts || jsonb_build_array(compile_value(member, below(pointer, i::text), item));
            i := i + 1;
        END LOOP;
        RETURN jsonb_build_object('array', parts);
    END IF;
    RETURN jsonb_build_object('literal', source);
END $$;

CREATE FUNCTION compile_target(source text, pointer text, item boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    bare_name CONSTANT text := '(?:[A-Za-z_]|[^\x01-\x7F])(?:[A-Za-z0-9_$]|[^\x01-\x7F])*';
    quoted_name CONSTANT text := '"(?:[^"\\]|\\.)*"';
    names jsonb := '[]';
    -- The first name has no dot before it.
    rest text := CASE WHEN source LIKE '[%' THEN source ELSE '.' || source END;
    found text;
    path jsonb;
BEGIN
    WHILE rest <> '' LOOP
        IF rest ~ ('^\.' || bare_name) THEN
            found := substring(rest from '^\.' || bare_name);
            names := names || to_jsonb(substr(found, 2));
            rest := substr(rest, length(found) + 1);
        ELSIF rest ~ ('^\.' || quoted_name) THEN
            found := substring(rest from '^\.' || quoted_name);
            names := names || to_jsonb(unquote(substr(found, 2), pointer));
            rest := substr(rest, length(found) + 1);
        ELSIF rest ~ '^\[\$' THEN
            SELECT * INTO path, rest FROM parse_path(substr(rest, 2), pointer, (item, true, false));
            IF rest NOT LIKE ']%' THEN
                PERFORM invalid(pointer, 'a computed name ends with ]');
            END IF;
            names := names || path;
            rest := substr(rest, 2);
        ELSE
            PERFORM invalid(pointer, 'no target goes on with ' || rest);
        END IF;
    END LOOP;
    IF jsonb_array_length(names) > 100 THEN
        PERFORM invalid(pointer, 'a target has 100 names at most');
    END IF;
    RETURN names;
END $$;

CREATE FUNCTION compile_condition(source jsonb, pointer text, item boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    word text;
    operand jsonb;
    parts jsonb := '[]';
    part jsonb;
    i int := 0;
BEGIN
    IF jsonb_typeof(source) = 'object' THEN
        FOR word IN SELECT jsonb_object_keys(source) LOOP
            IF word NOT IN ('exists', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', 'in', 'and', 'or', 'not') THEN
                PERFORM invalid(below(pointer, word), 'no such condition');
            END IF;
        END LOOP;
    END IF;
    IF jsonb_typeof(source) <> 'object' OR (SELECT count(*) FROM jsonb_object_keys(source)) <> 1 THEN
        PERFORM invalid(pointer, 'a condition is an object of one member');
    END IF;
    SELECT * INTO word, operand FROM jsonb_each(source);
    pointer := below(pointer, word);
    CASE
        WHEN word = 'exists' THEN
            RETURN jsonb_build_object(word, compile_path(operand, pointer, (item, true, true)));
        WHEN word = 'not' THEN
            RETURN jsonb_build_object(word, compile_condition(operand, pointer, item));
        WHEN word IN ('and', 'or') THEN
            IF jsonb_typeof(operand) <> 'array' OR operand = '[]' THEN
                PERFORM invalid(pointer, 'a list of conditions is expected');
            END IF;
            FOR part IN SELECT jsonb_array_elements(operand) LOOP
                parts := parts || jsonb_build_array(compile_condition(part, below(pointer, i::text), item));
                i := i + 1;
            END LOOP;
            RETURN jsonb_build_object(word, parts);
        WHEN word IN ('eq', 'ne', 'lt', 'le', 'gt', 'ge', 'in') THEN
            IF jsonb_typeof(operand) <> 'array' THEN
                PERFORM invalid(pointer, 'a list of two is expected');
            ELSIF jsonb_array_length(operand) <> 2 THEN
                PERFORM invalid(pointer, 'a list of two is expected');
            ELSIF word = 'in' AND jsonb_typeof(operand -> 1) <> 'array' THEN
                PERFORM compile_path(operand -> 1, below(pointer, '1'), (item, true, true));
            END IF;
            parts := jsonb_build_array(compile_value(operand -> 0, below(pointer, '0'), item),
                compile_value(operand -> 1, below(pointer, '1'), item));
            -- What [*] finds is a list, and lists have no order.
            FOR i IN 0 .. 1 LOOP
                IF word IN ('lt', 'le', 'gt', 'ge') AND (parts #> ARRAY[i::text, 'path', 'many'])::boolean THEN
                    PERFORM invalid(below(pointer, i::text), 'a list is neither less nor greater');
                END IF;
            END LOOP;
            RETURN jsonb_build_object(word, parts);
    END CASE;
END $$;

CREATE FUNCTION compile_key(source jsonb, pointer text, item boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    CASE jsonb_typeof(source)
        WHEN 'number' THEN
            RETURN jsonb_build_object('constant', source #>> '{}');
        WHEN 'string' THEN
            IF source #>> '{}' ~ '^\$' AND source #>> '{}' !~ '^\$\$' THEN
                RETURN jsonb_build_object('path', compile_path(source, pointer, (item, false, false)));
            END IF;
            RETURN jsonb_build_object('constant', regexp_replace(source #>> '{}', '^\$\$', '$'));
        WHEN 'object' THEN
            FOR name IN SELECT jsonb_object_keys(source) LOOP
                IF name NOT IN ('each', 'key', 'alias') OR item AND name <> 'alias' THEN
                    PERFORM invalid(below(pointer, name), 'a key has "each" and "key", or "alias"');
                END IF;
            END LOOP;
            IF source ? 'alias' AND source ?| '{each,key}' THEN
                PERFORM invalid(below(pointer, 'alias'), 'a key has "each" and "key", or "alias"');
            ELSIF source ? 'key' AND NOT source ? 'each' THEN
                PERFORM invalid(below(pointer, 'key'), 'a key has "each" and "key", or "alias"');
            ELSIF source ? 'alias' THEN
                RETURN jsonb_build_object('alias', compile_path(source -> 'alias', below(pointer, 'alias'), (item, false, false)));
            ELSIF NOT source ?& '{each,key}' THEN
                PERFORM invalid(pointer, 'a key has "each" and "key", or "alias"');
            END IF;
            RETURN compile_key(source -> 'key', below(pointer, 'key'), true)
                || jsonb_build_object('each', compile_path(source -> 'each', below(pointer, 'each'), (false, false, true)));
        ELSE
            PERFORM invalid(pointer, 'a key is a path, a constant or an object');
    END CASE;
END $$;

-- The members of "where" and "set": plain names.
CREATE FUNCTION compile_members(source jsonb, pointer text, item boolean, may_be_empty boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF jsonb_typeof(source) IS DISTINCT FROM 'object' OR source = '{}' AND NOT may_be_empty THEN
        PERFORM invalid(pointer, 'an object with members is expected');
    END IF;
    RETURN CASE WHEN source = '{}' THEN '[]' ELSE compile_value(source, pointer, item) -> 'object' END;
END $$;

-- What an operation has for a target.
CREATE FUNCTION compile_operand(operation text, source jsonb, pointer text, item boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    name text;
    kind text;
    compiled jsonb;
BEGIN
    CASE
        WHEN operation = 'keep' THEN
            IF jsonb_typeof(source) <> 'number' THEN
                PERFORM invalid(pointer, 'a whole number is expected');
            ELSIF source #>> '{}' !~ '^[0-9]+$' OR source::numeric > 2147483647 THEN
                PERFORM invalid(pointer, 'a whole number is expected');
            END IF;
            RETURN jsonb_build_object('literal', source);
        WHEN operation IN ('upsert', 'remove') THEN
            IF jsonb_typeof(source) <> 'object' THEN
                PERFORM invalid(pointer, 'an object with "where" is expected');
            END IF;
            FOR name IN SELECT jsonb_object_keys(source) LOOP
                IF name <> 'where' AND (name <> 'set' OR operation <> 'upsert') THEN
                    PERFORM invalid(below(pointer, name), 'no such member');
                END IF;
            END LOOP;
            IF NOT source ? 'where' THEN
                PERFORM invalid(pointer, 'an object with "where" is expected');
            END IF;
            compiled := jsonb_build_object('where', compile_members(source -> 'where', below(pointer, 'where'), item, false));
            IF operation = 'upsert' THEN
                compiled := compiled || jsonb_build_object('set',
                    compile_members(coalesce(source -> 'set', '{}'), below(pointer, 'set'), item, true));
            END IF;
            RETURN compiled;
        ELSE
            compiled := compile_value(source, pointer, item);
            -- What can never be of the right kind.
            kind := CASE WHEN compiled ? 'literal' THEN jsonb_typeof(compiled -> 'literal') WHEN NOT compiled ? 'path' THEN jsonb_typeof(source) END;
            IF kind <> 'null' AND (operation = 'merge' AND kind <> 'object' OR operation = 'add' AND kind <> 'number'
                OR operation IN ('min', 'max') AND kind NOT IN ('number', 'string')) THEN
                PERFORM invalid(pointer, 'a value of another kind is expected');
            ELSIF operation IN ('merge', 'add', 'min', 'max') AND (compiled #> '{path,many}')::boolean THEN
                PERFORM invalid(pointer, 'a list is no value for it');
            END IF;
            RETURN compiled;
    END CASE;
END $$;

-- Whether a target with these names can be there in what this operation leaves of a value.
CREATE FUNCTION has_place(operation text, source jsonb, names jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    unknown CONSTANT boolean := jsonb_typeof(source) = 'string' AND source #>> '{}' ~ '^\$' AND source #>> '{}' !~ '^\$\$';
BEGIN
    IF source IS NULL OR unknown THEN
        RETURN true;
    ELSIF names = '[]' THEN
        RETURN operation <> 'merge' OR jsonb_typeof(source) IN ('object', 'null');
    ELSIF jsonb_typeof(source) <> 'object' THEN
        RETURN false;
    ELSIF jsonb_typeof(names -> 0) = 'object' THEN    -- a name that events decide
        RETURN true;
    END IF;
    RETURN has_place(operation, source -> (names ->> 0), names - 0);
END $$;

-- Two targets of an operation, compiled, of which one leads into the other. Names that events decide are the same if their paths are.
CREATE FUNCTION check_targets(operation text, source jsonb, pointer text, targets jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    inner_one record;
    outer_one record;
    more jsonb;
BEGIN
    FOR inner_one IN SELECT name, names, n FROM jsonb_to_recordset(targets) AS t (name text, names jsonb, n int) ORDER BY n LOOP
        FOR outer_one IN SELECT name, names, n FROM jsonb_to_recordset(targets) AS t (name text, names jsonb, n int) LOOP
            CONTINUE WHEN jsonb_array_length(outer_one.names) >= jsonb_array_length(inner_one.names);
            SELECT coalesce(jsonb_agg(name ORDER BY n) FILTER (WHERE n > jsonb_array_length(outer_one.names)), '[]') INTO more
            FROM jsonb_array_elements(inner_one.names) WITH ORDINALITY AS e (name, n);
            CONTINUE WHEN outer_one.names || more <> inner_one.names;
            -- A number, a text or a list is no object at the same time.
            IF operation NOT IN ('default', 'set', 'merge')
                -- The outer one is written before. Of a merge with null nothing is.
                OR outer_one.n < inner_one.n AND NOT (operation = 'merge' AND source -> outer_one.name = 'null')
                    AND NOT has_place(operation, source -> outer_one.name, more) THEN
                PERFORM invalid(below(pointer, inner_one.name), 'there is no place for it');
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE FUNCTION compile_step(source jsonb, pointer text, general_key jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    operations CONSTANT text[] := '{default,set,unset,merge,add,min,max,append,upsert,remove,keep}';
    no_key CONSTANT text := 'a spec has a "key" unless each step has its own';
    operation text;
    name text;
    operand jsonb;
    targets jsonb;
    names jsonb;
    key jsonb := general_key;
    item boolean;
    compiled jsonb := '[]';
    step jsonb := '{}';
    i int := 0;
BEGIN
    IF source = '"delete"' THEN
        IF key IS NULL THEN
            PERFORM invalid('', no_key);
        END IF;
        RETURN jsonb_build_object('key', key, 'delete', true, 'operations', '[]'::jsonb);
    ELSIF jsonb_typeof(source) <> 'object' THEN
        PERFORM invalid(pointer, 'a step is an object or "delete"');
    END IF;
    FOR name IN SELECT jsonb_object_keys(source) LOOP
        IF name <> ALL (operations || '{when,key,alias,delete}') THEN
            PERFORM invalid(below(pointer, name), 'no such member of a step');
        END IF;
    END LOOP;
    IF NOT source ?| (operations || '{alias,delete}') THEN
        PERFORM invalid(pointer, 'a step has an operation or an alias');
    END IF;
    IF source ? 'key' THEN
        key := compile_key(source -> 'key', below(pointer, 'key'));
    END IF;
    item := coalesce(key ? 'each', false);
    IF source ? 'when' THEN
        step := step || jsonb_build_object('when', compile_condition(source -> 'when', below(pointer, 'when'), item));
    END IF;
    IF source ? 'alias' THEN
        step := step || jsonb_build_object('alias', compile_path(source -> 'alias', below(pointer, 'alias'), (item, false, false)));
    END IF;
    IF source ? 'delete' AND source -> 'delete' <> 'true' THEN
        PERFORM invalid(below(pointer, 'delete'), 'it is true or not there');
    END IF;
    FOREACH operation IN ARRAY operations LOOP
        CONTINUE WHEN NOT source ? operation;
        targets := source -> operation;
        IF operation = 'unset' THEN
            IF jsonb_typeof(targets) = 'string' THEN
                compiled := compiled || jsonb_build_array(jsonb_build_array(operation,
                    compile_target(targets #>> '{}', below(pointer, operation), item), '{"literal": true}'::jsonb));
                CONTINUE;
            ELSIF jsonb_typeof(targets) <> 'array' THEN
                PERFORM invalid(below(pointer, operation), 'a target or a list of targets is expected');
            END IF;
            FOR operand IN SELECT jsonb_array_elements(targets) LOOP
                IF jsonb_typeof(operand) <> 'string' THEN
                    PERFORM invalid(below(below(pointer, operation), i::text), 'a target is expected');
                END IF;
                compiled := compiled || jsonb_build_array(jsonb_build_array(operation,
                    compile_target(operand #>> '{}', below(below(pointer, operation), i::text), item), '{"literal": true}'::jsonb));
                i := i + 1;
            END LOOP;
        ELSE
            IF jsonb_typeof(targets) <> 'object' THEN
                PERFORM invalid(below(pointer, operation), 'an object with targets is expected');
            END IF;
            -- In the order of jsonb's members.
            names := '[]';
            FOR name, operand IN SELECT * FROM jsonb_each(targets) LOOP
                compiled := compiled || jsonb_build_array(jsonb_build_array(operation,
                    compile_target(name, below(below(pointer, operation), name), item),
                    compile_operand(operation, operand, below(below(pointer, operation), name), item)));
                names := names || jsonb_build_object('name', name, 'names', compiled #> '{-1,1}', 'n', jsonb_array_length(names));
            END LOOP;
            PERFORM check_targets(operation, targets, below(pointer, operation), names);
        END IF;
    END LOOP;
    IF key IS NULL THEN
        PERFORM invalid('', no_key);
    END IF;
    RETURN step || jsonb_build_object('key', key, 'delete', source ? 'delete', 'operations', compiled);
END $$;

CREATE FUNCTION compile(spec jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = spec_interpreter AS $$
DECLARE
    name text;
    steps jsonb;
    step jsonb;
    key jsonb;
    compiled jsonb;
    every jsonb := '{}';
    i int;
    place text;
BEGIN
    IF jsonb_typeof(spec) <> 'object' THEN
        PERFORM invalid('', 'a spec is an object');
    END IF;
    FOR name IN SELECT jsonb_object_keys(spec) LOOP
        IF name NOT IN ('key', 'on') THEN
            PERFORM invalid(below('', name), 'a spec has "key" and "on"');
        END IF;
    END LOOP;
    IF NOT spec ? 'on' THEN
        PERFORM invalid('', 'a spec has "on"');
    END IF;
    IF spec ? 'key' THEN
        key := compile_key(spec -> 'key', '/key');
    END IF;
    IF jsonb_typeof(spec -> 'on') <> 'object' OR spec -> 'on' = '{}' THEN
        PERFORM invalid('/on', 'an object with event types is expected');
    END IF;
    FOR name, steps IN SELECT * FROM jsonb_each(spec -> 'on') LOOP
        compiled := '[]';
        IF jsonb_typeof(steps) = 'array' THEN
            IF steps = '[]' THEN
                PERFORM invalid(below('/on', name), 'a list has steps');
            END IF;
            i := 0;
            FOR step IN SELECT jsonb_array_elements(steps) LOOP
                compiled := compiled || jsonb_build_array(compile_step(step, below(below('/on', name), i::text), key));
                i := i + 1;
            END LOOP;
        ELSE
            compiled := jsonb_build_array(compile_step(steps, below('/on', name), key));
        END IF;
        every := every || jsonb_build_object(name, compiled);
    END LOOP;
    -- An alias is followed, and no step that finds its instance otherwise remembers one.
    IF NOT EXISTS (SELECT FROM jsonb_each(every) AS h (type, steps), jsonb_array_elements(h.steps) AS s (step)
            WHERE s.step ? 'alias' AND NOT s.step -> 'key' ? 'alias') THEN
        SELECT f.place INTO place
        FROM (
            SELECT '/key' AS place, spec -> 'key' AS key, 0 AS handler, 0 AS n
            UNION ALL
            SELECT below('/on', h.type) || CASE jsonb_typeof(h.steps) WHEN 'array' THEN '/' || s.n - 1 ELSE '' END || '/key', s.step -> 'key', h.n, s.n
            FROM jsonb_each(spec -> 'on') WITH ORDINALITY AS h (type, steps, n),
                jsonb_array_elements(CASE jsonb_typeof(h.steps) WHEN 'array' THEN h.steps ELSE jsonb_build_array(h.steps) END)
                    WITH ORDINALITY AS s (step, n)) AS k,
            LATERAL (VALUES (k.place || '/alias', k.key ? 'alias'), (k.place || '/key/alias', k.key -> 'key' ? 'alias')) AS f (place, follows)
        WHERE jsonb_typeof(k.key) = 'object' AND f.follows
        ORDER BY k.handler, k.n LIMIT 1;
        IF place IS NOT NULL THEN
            PERFORM invalid(place, 'no alias is ever remembered');
        END IF;
    END IF;
    RETURN jsonb_build_object('on', every);
END $$;
