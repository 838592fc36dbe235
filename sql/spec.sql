-- Declarative updaters: definition, folding, aliases, errors. Every rule of the language is tested in test/differential.
SELECT readmodel.create_event_table('spec_events') IS NOT NULL AS created;
SELECT readmodel.create_source('spec', 'spec_events', metadata => 'metadata', occurred_at => 'occurred_at');
CREATE FUNCTION spec_count(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$ SELECT jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1) $$;
-- Appends events given as [type, data].
CREATE FUNCTION spec_append(events jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO spec_events (stream_id, type, data) SELECT 's', e ->> 0, e -> 1 FROM jsonb_array_elements(events) e;
END $$;
CREATE FUNCTION spec_settled() RETURNS bigint LANGUAGE sql AS $$ SELECT max(position) FROM spec_events $$;
-- Waits until the query has failed, and says why.
CREATE FUNCTION spec_failure(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    told text;
    first bigint := (SELECT min(position) FROM spec_events);
BEGIN
    FOR try IN 1 .. 600 LOOP
        SELECT format('%s at %s: %s %s', s.status, s.error_position - first + 1, s.error_sqlstate, s.error_message) INTO told
          FROM readmodel.status() s WHERE name = query AND s.status = 'failed';
        IF FOUND THEN
            RETURN told;
        END IF;
        PERFORM pg_sleep(0.05);
    END LOOP;
    RETURN 'it has not failed';
END $$;

-- What define_query refuses.
SELECT readmodel.define_query('q', 'spec', 'spec_count(jsonb, jsonb)', spec => '{"key": "$.id", "on": {"A": "delete"}}');
SELECT readmodel.define_query('q', 'spec', key => 'stream', spec => '{"key": "$.id", "on": {"A": "delete"}}');
SELECT readmodel.define_query('q', 'spec', event_types => '{A}', spec => '{"key": "$.id", "on": {"A": "delete"}}');
SELECT readmodel.define_query('q', 'spec', spec => '[]');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id"}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "id..", "on": {"A": {"add": {"n": 1}, "sett": {"a": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": "$.a[x]"}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A/B": [{"add": {"n": true}}]}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": {"each": "$.items[*]", "ky": "$item"}, "on": {"A": "delete"}}');
SELECT count(*) AS made FROM readmodel_catalog.query WHERE name = 'q';

SELECT readmodel.create_event_table('spec_unmapped') IS NOT NULL AS created;
SELECT readmodel.create_source('spec unmapped', 'spec_unmapped');
SELECT readmodel.definition_hash('spec unmapped', spec => '{"key": "$event.metadata.user", "on": {"A": {"set": {"at": "$event.occurredAt"}}}}') IS NOT NULL AS known;
SELECT readmodel.drop_source('spec unmapped');
DROP TABLE spec_unmapped;
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": "1"}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": "amount"}}}}');

-- What is well written and could never work.
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"set": {"a": 1, "a.b": 2}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"by[$.k]": 1, "by[$.k].n": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"total": "$.lines[*].amount"}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"when": {"gt": ["$.lines[*].amount", 5]}, "set": {"a": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": {"alias": "$.order"}, "on": {"A": {"add": {"n": 1}}}}');

-- Words of other languages, names without quotes, options.
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"push": {"l": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"subtract": {"n": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"when": {">=": ["$.n", 1]}, "add": {"n": 1}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.user-id", "on": {"A": "delete"}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": "$.price * $.qty"}}}}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": "delete"}}', options => '{"paralel": 2}');
SELECT readmodel.define_query('q', 'spec', spec => '{"key": "$.id", "on": {"A": "delete"}}', options => '{"colour": 2}');

-- Formatting and the order of members are no part of a definition; the digits of a number are.
SELECT readmodel.definition_hash('spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": 1, "m": 2}}}}')
     = readmodel.definition_hash('spec', spec => '{"on":{"A":{"add":{"m":2,"n":1}}},"key":"$.id"}') AS same,
       readmodel.definition_hash('spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": 1}}}}')
     = readmodel.definition_hash('spec', spec => '{"key": "$.id", "on": {"A": {"add": {"n": 1.0}}}}') AS other_digits;

-- A read model of every kind of operation.
SELECT readmodel.define_query('users', 'spec', spec => '
{ "key": "$.userId",
  "on": {
    "UserRegistered": {"set": {"name": "$.name", "orders": []}},
    "OrderPlaced":    {"append": {"orders": {"id": "$.orderId", "amount": "$.amount"}},
                       "add": {"orderCount": 1, "total": "$.amount", "byStatus[$.status]": 1},
                       "max": {"largest": "$.amount"}},
    "OrderCancelled": [{"when": {"exists": "$.orderId"}, "add": {"orderCount": -1}},
                       {"remove": {"orders": {"where": {"id": "$.orderId"}}}}],
    "UserDeleted":    "delete" } }');
SELECT generation, spec IS NOT NULL AS spec, updater, key_expression, key_type, event_types, alias_table
  FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id) WHERE name = 'users';
SELECT spec_append('[
    ["UserRegistered", {"userId": "u1", "name": "Zoë"}],
    ["UserRegistered", {"userId": 17.0, "name": "a number"}],
    ["OrderPlaced", {"userId": "u1", "orderId": "o1", "amount": 19.90, "status": "new"}],
    ["OrderPlaced", {"userId": "u1", "orderId": "o2", "amount": 0.1, "status": "new"}],
    ["Ignored", {"userId": "u1"}],
    ["OrderPlaced", {"orderId": "o3", "amount": 1}],
    ["OrderCancelled", {"userId": "u1", "orderId": "o1"}],
    ["OrderPlaced", {"userId": "u2", "orderId": "o4", "amount": 123456789012345678901234567890.12345678901234567890, "status": 1}],
    ["UserDeleted", {"userId": 17.0}]]');
SELECT readmodel.wait_for('users', spec_settled()) = spec_settled() AS reached;
SELECT id, state, position - (SELECT min(position) FROM spec_events) + 1 AS event FROM readmodel.users ORDER BY id;
SELECT readmodel.get('users', 'u1') ->> 'name' AS name;

-- Aliases: an order leads to its customer.
SELECT readmodel.define_query('customers', 'spec', spec => '
{ "key": "$.customer",
  "on": {
    "Ordered":   {"alias": "$.orderId", "add": {"orders": 1}},
    "Shipped":   {"key": {"alias": "$.orderId"}, "append": {"shipped": "$.orderId"}},
    "Forgotten": "delete" } }');
SELECT alias_table IS NOT NULL AS aliases FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
 WHERE name = 'customers';
SELECT spec_append('[
    ["Shipped", {"orderId": "x1"}],
    ["Ordered", {"customer": "c1", "orderId": "x1"}],
    ["Ordered", {"customer": "c1", "orderId": 2}],
    ["Ordered", {"customer": "c2", "orderId": "x3"}],
    ["Shipped", {"orderId": 2}]]');
SELECT readmodel.wait_for('customers', spec_settled()) = spec_settled() AS reached;
SELECT spec_append('[
    ["Shipped", {"orderId": "x1"}],
    ["Shipped", {"orderId": "x3"}],
    ["Forgotten", {"customer": "c2"}],
    ["Shipped", {"orderId": "x3"}]]');
SELECT readmodel.wait_for('customers', spec_settled()) = spec_settled() AS reached;
SELECT id, state FROM readmodel.customers ORDER BY id;
SELECT alias_table::text AS alias_table FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
 WHERE name = 'customers' \gset
SELECT alias, instance FROM :alias_table ORDER BY alias;
-- The same from the start.
SELECT readmodel.rebuild('customers');
CALL readmodel.catch_up('customers');
SELECT id, state FROM readmodel.customers ORDER BY id;
SELECT alias_table::text AS alias_table FROM readmodel_catalog.generation JOIN readmodel_catalog.query USING (query_id)
 WHERE name = 'customers' ORDER BY generation DESC LIMIT 1 \gset
SELECT alias, instance FROM :alias_table ORDER BY alias;
SELECT readmodel.drop_query('customers');
SELECT count(*) AS tables FROM pg_class WHERE relnamespace = 'readmodel_data'::regnamespace AND relname ~ '^a_';

-- Fan-out, metadata and the event itself.
SELECT readmodel.define_query('stock', 'spec', spec => '
{ "key": {"each": "$.items[*]", "key": "$item.sku"},
  "on": {"Delivered": {"add": {"quantity": "$item.qty"},
                       "set": {"by": "$event.metadata.user", "type": "$event.type", "stream": "$event.stream"}}} }');
INSERT INTO spec_events (stream_id, type, data, metadata) VALUES
    ('delivery', 'Delivered', '{"items": [{"sku": "a", "qty": 1.50}, {"sku": "b", "qty": 2}, {"sku": "a", "qty": 3}, {"qty": 4}]}',
     '{"user": "zoe"}');
SELECT readmodel.wait_for('stock', spec_settled()) = spec_settled() AS reached;
SELECT id, state FROM readmodel.stock ORDER BY id;

-- A value of a wrong kind stops the query before the event, all of whose instances stay as they were.
SELECT spec_append('[["Delivered", {"items": [{"sku": "b", "qty": 1}, {"sku": "a", "qty": "many"}]}]]');
SELECT regexp_replace(spec_failure('stock'), 'at \d+', 'at ..') AS failure;
SELECT readmodel.state_table('stock')::text AS stock \gset
SELECT id, state FROM :stock ORDER BY id;

-- States that somebody has put in the place of those that the spec has made are not taken for such.
SELECT readmodel.define_query('damaged', 'spec', spec => '{"key": "$.id", "on": {"Damage": {"add": {"n": 1}}}}');
SELECT spec_append('[["Damage", {"id": "a"}], ["Damage", {"id": "b"}]]');
SELECT readmodel.wait_for('damaged', spec_settled()) = spec_settled() AS reached;
SELECT readmodel.state_table('damaged')::text AS damaged \gset
UPDATE :damaged SET state = '"AAAAAAAAAAAAAAAA"' WHERE id = 'a';
SELECT spec_append('[["Damage", {"id": "b"}], ["Damage", {"id": "a"}]]');
SELECT regexp_replace(spec_failure('damaged'), 'at \d+', 'at ..') AS failure;
SELECT id, state FROM :damaged ORDER BY id;
ALTER TABLE :damaged ALTER state DROP NOT NULL;
UPDATE :damaged SET state = NULL WHERE id = 'a';
SELECT readmodel.retry('damaged');
SELECT regexp_replace(spec_failure('damaged'), 'at \d+', 'at ..') ~ 'a state in table readmodel_data.g_\d+ is null' AS failure;

-- States are written as PostgreSQL itself writes jsonb: numbers of every size, texts, and containers with more than 32 entries.
SELECT readmodel.define_query('documents', 'spec', spec => '
{ "key": "$.id", "on": {"Document": {"set": {"all": "$", "number": "$.number"}, "append": {"numbers": "$.number"}}} }');
INSERT INTO spec_events (stream_id, type, data)
SELECT 's', 'Document', jsonb_build_object('id', 'd' || n % 7, 'number', number, 'big', number * 1e40, 'small', number / 1e30,
    'negative', -number, 'nothing', NULL, 'flag', n % 2 = 0, 'empty', '[]'::jsonb, 'text', repeat('ü', n),
    'list', (SELECT coalesce(jsonb_agg(i * number), '[]') FROM generate_series(1, n) i),
    'object', (SELECT coalesce(jsonb_object_agg(repeat('k', i), i), '{}') FROM generate_series(1, n) i),
    'nested', jsonb_build_object('list', jsonb_build_array(jsonb_build_array(n), jsonb_build_object('a', n))))
FROM (SELECT n, n * 1.50 + n * n * 0.001 * 10 ^ (n % 9) AS number FROM generate_series(0, 99) n) numbers;
SELECT readmodel.wait_for('documents', spec_settled()) = spec_settled() AS reached;
SELECT count(*) AS documents,
       count(*) FILTER (WHERE state -> 'all' <> e.data) AS different,
       count(*) FILTER (WHERE state::text <> jsonb_build_object('all', e.data, 'number', e.data -> 'number', 'numbers', n.numbers)::text) AS printed_otherwise,
       count(*) FILTER (WHERE pg_column_size(d.state::text::jsonb) <> pg_column_size(jsonb_set(d.state, '{all}', d.state -> 'all'))) AS of_another_size
  FROM readmodel.documents d
  JOIN spec_events e USING (position)
  JOIN LATERAL (SELECT jsonb_agg(data -> 'number' ORDER BY position) AS numbers FROM spec_events
                 WHERE type = 'Document' AND data ->> 'id' = d.id) n ON true;

SELECT readmodel.drop_query(name) FROM unnest(ARRAY['users', 'stock', 'damaged', 'documents']) name;
SELECT readmodel.drop_source('spec');
DROP TABLE spec_events;
DROP FUNCTION spec_count, spec_append, spec_settled, spec_failure;
