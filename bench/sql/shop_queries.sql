-- The query of the shop's customers in its kinds, and how it is rebuilt.

-- The same as shop.customer().
CREATE FUNCTION shop.customer_spec() RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$SELECT '{
    "key": "$.customer",
    "on": {
        "CustomerRegistered": {"default": {"orders": 0, "total": 0, "recent": []}, "set": {"name": "$.name"}},
        "OrderPlaced":   {"default": {"orders": 0, "total": 0, "recent": []},
                          "set": {"status": "OrderPlaced"},
                          "add": {"orders": 1, "total": "$.amount"},
                          "append": {"recent": "$.order"},
                          "keep": {"recent": 10}},
        "OrderReturned": {"set": {"status": "OrderReturned"}, "add": {"total": "$.refund"}},
        "*":             {"set": {"status": "$event.type"}}
    }}'::jsonb$$;

-- kind: function; spec; parallel: a spec, rebuilt by two lanes
CREATE FUNCTION bench.define(name text, kind text, options jsonb DEFAULT '{}') RETURNS int
LANGUAGE plpgsql AS $$
BEGIN
    CASE kind
        WHEN 'function' THEN
            RETURN readmodel.define_query(name, 'shop', 'shop.customer(jsonb, jsonb)', key => $key$data->>'customer'$key$, options => options);
        WHEN 'spec' THEN
            RETURN readmodel.define_query(name, 'shop', spec => shop.customer_spec(), options => options);
        WHEN 'parallel' THEN
            RETURN readmodel.define_query(name, 'shop', spec => shop.customer_spec(), options => options || '{"parallel": 2}');
    END CASE;
END $$;

CREATE FUNCTION bench.has(kind text) RETURNS text
LANGUAGE sql AS $$SELECT bench.accepted(format('SELECT bench.define(''probe'', %L)', kind))$$;

-- From the call of define_query to "ready".
CREATE PROCEDURE bench.rebuild(kind text, INOUT seconds numeric)
LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    PERFORM bench.define('customers', kind);
    CALL bench.until_ready('customers');
    seconds := round(extract(epoch FROM clock_timestamp() - started), 4);
END $$;

-- The oracle's states as a table, so that they are computed once.
CREATE PROCEDURE bench.keep_oracle()
LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE bench.customers AS SELECT id, state FROM shop.customer_oracle;
    ANALYZE bench.customers;
END $$;
