-- Three read models over the one log.

-- 1. per customer: shop.customer() of bench/shop.sql
SELECT readmodel.define_query('customers', 'shop', 'shop.customer(jsonb, jsonb)', key => $$data->>'customer'$$);

-- 2. per product, from two of the event types
CREATE FUNCTION shop.product(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    data jsonb := event -> 'data';
    sign int := CASE event ->> 'type' WHEN 'OrderPlaced' THEN 1 ELSE -1 END;
BEGIN
    RETURN jsonb_build_object(
        'sold', coalesce((state ->> 'sold')::int, 0) + sign * (data ->> 'quantity')::int,
        'revenue', coalesce((state ->> 'revenue')::numeric, 0) + sign * (data ->> 'amount')::numeric,
        'returns', coalesce((state ->> 'returns')::int, 0) + (sign < 0)::int);
END $$;

SELECT readmodel.define_query('products', 'shop', 'shop.product(jsonb, jsonb)', key => $$data->>'product'$$,
                              event_types => '{OrderPlaced,OrderReturned}');

-- 3. one global document: a constant key
CREATE FUNCTION shop.overview(state jsonb, event jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    type text := event ->> 'type';
BEGIN
    RETURN coalesce(state, '{}') || jsonb_build_object(type, coalesce((state ->> type)::bigint, 0) + 1);
END $$;

SELECT readmodel.define_query('shop-overview', 'shop', 'shop.overview(jsonb, jsonb)', key => $$'shop'::text$$);
