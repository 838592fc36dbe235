-- One live append, number :n.
SELECT last_position AS appended
FROM readmodel.append('shop.events', 'live-order-' || :n, jsonb_build_array(jsonb_build_object(
         'type', 'OrderPlaced',
         'data', jsonb_build_object('order', 'live-order-' || :n, 'customer', 'customer-' || 7 * :n,
                                    'product', 'product-' || :n, 'quantity', 1, 'amount', 10.00 + :n))),
         expected_version => 0) \gset
\set query customers
\set events shop.events
