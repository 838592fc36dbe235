-- fold: an updater tested without a table.
CREATE FUNCTION fold_order(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF event ->> 'type' = 'Deleted' THEN
        RETURN NULL;
    END IF;
    IF event #>> '{data,amount}' = 'x' THEN
        RAISE EXCEPTION 'no amount' USING ERRCODE = 'RX001', DETAIL = 'It is x.';
    END IF;
    RETURN jsonb_build_object('count', coalesce((state ->> 'count')::int, 0) + 1,
                              'total', coalesce((state ->> 'total')::numeric, 0) + (event #>> '{data,amount}')::numeric,
                              'last', event ->> 'position');
END $$;

-- States by id; a deleted instance is none; it begins anew after that.
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"user": "bob", "amount": 10}},
                               {"type": "Placed", "data": {"user": "Ann", "amount": 5}},
                               {"type": "Placed", "data": {"user": "bob", "amount": 1.50}},
                               {"type": "Placed", "data": {"amount": 7}},
                               {"type": "Placed", "data": {"user": "eve", "amount": 7}},
                               {"type": "Deleted", "data": {"user": "eve"}},
                               {"type": "Deleted", "data": {"user": "dan"}},
                               {"type": "Placed", "data": {"user": "dan", "amount": 2}}]',
                             'fold_order(jsonb, jsonb)', key => $$data ->> 'user'$$);
-- The same by a spec; fan-out; aliases.
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"user": "bob", "amount": 10}},
                               {"type": "Placed", "data": {"user": "bob", "amount": 1.50}}]',
                             spec => '{"key": "$.user", "on": {"Placed": {"add": {"count": 1, "total": "$.amount"}}}}');
CREATE FUNCTION fold_tags(data jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY(SELECT jsonb_array_elements_text(data -> 'tags')) $$;
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"tags": ["a", "b", "a"], "amount": 1}}, {"type": "Placed", "data": {"tags": ["b"], "amount": 2}}]',
                             'fold_order(jsonb, jsonb)', key => $$fold_tags(data)$$);
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"user": "u", "order": 7}}, {"type": "Paid", "data": {"order": 7}}, {"type": "Paid", "data": {"order": 8}}]',
                             spec => '{"key": "$.user", "on": {"Placed": {"alias": "$.order", "add": {"placed": 1}}, "Paid": {"key": {"alias": "$.order"}, "add": {"paid": 1}}}}');
-- Ids of other types, in their order.
SELECT * FROM readmodel.fold('[{"type": "A", "data": {"n": 10, "amount": 1}}, {"type": "A", "data": {"n": 9, "amount": 1}}, {"type": "A", "data": {"n": -1, "amount": 1}}]',
                             'fold_order(jsonb, jsonb)', key => $$(data ->> 'n')::bigint$$);
SELECT id FROM readmodel.fold('[{"type": "A", "stream": "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "data": {"amount": 1}}]', 'fold_order(jsonb, jsonb)', key => 'stream::uuid');
-- All that an event can have, as the updater sees it; data is {} where it is left out.
CREATE FUNCTION fold_seen(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce(state, '[]') || event $$;
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'SQL, DMY';
SELECT jsonb_array_elements(state) AS seen
  FROM readmodel.fold('[{"type": "A"},
                        {"type": "B", "position": 40, "stream": "s", "metadata": {"by": "me"}, "occurredAt": "2026-01-02 03:04:05.5+01", "data": [1, null]},
                        {"type": "C", "stream": null, "metadata": null, "occurredAt": null, "data": "x"}]', 'fold_seen(jsonb, jsonb)', key => $$'one'$$);
RESET TimeZone;
RESET DateStyle;
SELECT count(*) FROM readmodel.fold('[]', 'fold_seen(jsonb, jsonb)', key => 'type');

-- Given, when, then: what must not be different.
SELECT state = '{"count": 1, "total": 5, "last": "3"}' AS as_it_should
  FROM readmodel.fold('[{"type": "Placed", "position": 3, "data": {"user": "ann", "amount": 5}}]', 'fold_order(jsonb, jsonb)', key => $$data ->> 'user'$$);

-- An error is the updater's own, and says at which event.
\set VERBOSITY verbose
\set SHOW_CONTEXT always
DO $$ BEGIN
    PERFORM readmodel.fold('[{"type": "Placed", "data": {"amount": 1}}, {"type": "Placed", "position": 12, "data": {"amount": "x"}}]', 'fold_order(jsonb, jsonb)', key => 'type');
EXCEPTION WHEN SQLSTATE 'RX001' THEN
    DECLARE detail text; context text;
    BEGIN
        GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, context = PG_EXCEPTION_CONTEXT;
        RAISE NOTICE '% | % | %', SQLERRM, detail, substring(context FROM 'event at .*?$');
    END;
END $$;
\set VERBOSITY default
\set SHOW_CONTEXT errors
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"k": 1, "n": 1}}, {"type": "Placed", "data": {"k": 1, "n": []}}]', spec => '{"key": "$.k", "on": {"Placed": {"add": {"n": "$.n"}}}}');
SELECT * FROM readmodel.fold('[{"type": "Placed", "data": {"k": 1}}, {"type": "Placed", "data": {"k": "x"}}]', 'fold_seen(jsonb, jsonb)', key => $$(data ->> 'k')::bigint$$);

-- The updater runs as in a worker: it cannot write, and has the path of the one who tests it.
CREATE TABLE fold_written (n int);
CREATE FUNCTION fold_writes(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO fold_written VALUES (1); SELECT event $$;
CREATE FUNCTION fold_settings(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_array(current_setting('search_path'), current_setting('TimeZone'), current_user = session_user) $$;
SELECT * FROM readmodel.fold('[{"type": "A"}]', 'fold_writes(jsonb, jsonb)', key => 'type');
SET TimeZone = 'Asia/Tokyo';
SELECT state FROM readmodel.fold('[{"type": "A"}]', 'fold_settings(jsonb, jsonb)', key => 'type');
SELECT current_setting('TimeZone');
RESET TimeZone;
-- .. also in a transaction that has written, and in REPEATABLE READ
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO fold_written VALUES (2);
SELECT * FROM readmodel.fold('[{"type": "A", "data": {"amount": 1}}]', 'fold_order(jsonb, jsonb)', key => 'type');
COMMIT;
TABLE fold_written;
CREATE ROLE regress_fold;
REVOKE EXECUTE ON FUNCTION fold_order(jsonb, jsonb) FROM PUBLIC;
GRANT USAGE ON SCHEMA public, readmodel TO regress_fold;
SET ROLE regress_fold;
SELECT * FROM readmodel.fold('[{"type": "A"}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT state FROM readmodel.fold('[{"type": "A"}]', 'fold_settings(jsonb, jsonb)', key => 'type');
RESET ROLE;
REVOKE USAGE ON SCHEMA public, readmodel FROM regress_fold;
DROP ROLE regress_fold;

-- What is refused.
SELECT * FROM readmodel.fold(NULL, 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('{"type": "A"}', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[1]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"data": {}}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"type": 1}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"type": "A", "kind": 1}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"type": "A", "position": 1.5}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"type": "A", "position": 7}, {"type": "A", "position": 7}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[{"type": "A", "occurredAt": "yesterday or so"}]', 'fold_order(jsonb, jsonb)', key => 'type');
SELECT * FROM readmodel.fold('[]');
SELECT * FROM readmodel.fold('[]', 'fold_order(jsonb, jsonb)');
SELECT * FROM readmodel.fold('[]', 'fold_order(jsonb, jsonb)', key => 'nothing');
SELECT * FROM readmodel.fold('[]', key => 'type', spec => '{"key": "$.k", "on": {"A": "delete"}}');
SELECT * FROM readmodel.fold('[]', spec => '{"key": "$.k", "on": {"A": {"sett": {}}}}');
SELECT * FROM readmodel.fold('[]', 'lower(text)', key => 'type');
