# A query that has failed is told with its reason, without the message, which could quote data; the others go on. What is paused or
# stands at the gate is told as that.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('failures');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    CREATE FUNCTION public.no_refunds(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        IF event ->> 'type' = 'Refunded' THEN
            RAISE EXCEPTION 'the card is %', event #>> '{data,card}';
        END IF;
        RETURN '{}';
    END $$;
    SELECT readmodel.define_query('fragile', 'shop', 'public.no_refunds(jsonb, jsonb)', key => 'stream');
    SELECT readmodel.define_query('sound', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', event_types => '{OrderPlaced}');
    GRANT SELECT ON ALL TABLES IN SCHEMA readmodel TO web});
my $service = HttpService->new($node);
$service->wait_status('/ready', 200, 'all are ready');

$node->safe_psql('postgres', q{
    INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'Refunded', '{"card": "4711", "amount": 1}')});
my $failed = $service->wait_for('/ready', sub { decode_json($_->{content})->{status} eq 'failed' }, '/ready says that one has failed');
is($failed->{status}, 503, 'with 503');
my $document = decode_json($failed->{content});
like($document->{reason}, qr/^updater_error\b.*P0001.*101/, 'the reason is a code, the SQLSTATE and the position');
is_deeply([map { "$_->{name} $_->{status}" } @{$document->{queries}}], ['fragile failed'], 'and which it is');
for my $path ('/queries/fragile/customer%202', '/queries/fragile')
{
    my $response = $service->get($path);
    is("$response->{status} $response->{content}", qq(503 {"status":"failed","reason":"$document->{reason}"}), "$path: failed, with the reason");
    is($response->{headers}{'x-query-status'}, 'failed', "$path: and the header");
}
unlike($service->get($_)->{content}, qr/4711|card/, "$_ quotes no data") for '/ready', '/queries/fragile', '/queries';
is($service->get('/queries/orders/customer%202')->{status}, 200, 'another query answers');
is($service->get('/queries/sound/customer%202')->{status}, 200, 'and another');
is($service->get('/ready?query=orders&query=sound')->{status}, 200, 'and both are ready');
is($service->get('/ready?query=orders&query=fragile')->{status}, 503, 'the three are not');

# failed comes before paused, and paused before rebuilding.
$node->safe_psql('postgres', q{SELECT readmodel.pause('sound')});
like($service->get('/queries/sound/customer%202')->{content}, qr/^\{"status":"paused","reason":"operator\b[^"]*"\}$/, 'a paused query');
is($service->get('/queries/sound/customer%202')->{headers}{'x-query-status'}, 'paused', 'and its header');
is($service->json('/ready')->{status}, 'failed', 'failed before paused');
is($service->json('/ready?query=sound&query=orders')->{status}, 'paused', 'paused before ready');
$node->safe_psql('postgres', q{SELECT readmodel.resume('sound'); SELECT readmodel.drop_query('fragile')});
$service->wait_status('/ready', 200, 'without the one that failed all are ready again');

# An operator is asked before the new definition is built.
$node->safe_psql('postgres', q{SELECT readmodel.define_query('sound', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
    event_types => '{OrderPlaced}', options => '{"version": "2", "on_change": "gate"}')});
my $gated = $service->get('/queries/sound/customer%202');
is("$gated->{status} $gated->{headers}{'x-query-status'}", '503 gated', 'a gated query');
is($service->json('/ready')->{status}, 'gated', 'and so says /ready');
$node->safe_psql('postgres', q{SELECT readmodel.approve('sound')});
$service->wait_status('/ready', 200, 'until it is approved');

# Whoever would rather have an older answer than none gets it from a query that is paused, too, and is told so.
$node->safe_psql('postgres', q{SELECT readmodel.define_query('sound', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
    event_types => '{OrderPlaced}', options => '{"version": "2", "while_rebuilding": "serve_previous"}')});
$service->wait_status('/queries/sound/customer%202', 200, 'a query that serves what it has');
my $current = $service->get('/queries/sound/customer%202');
is($current->{headers}{'x-query-status'}, 'ready', 'is ready');
$node->safe_psql('postgres', q{SELECT readmodel.pause('sound')});
append_orders($node, 'postgres', 20);
foreach my $path ('/queries/sound/customer%202', '/queries/sound?limit=1')
{
    my $stale = $service->get($path);
    is("$stale->{status} $stale->{headers}{'x-query-status'}", '200 stale', "$path while it is paused: stale");
    is_deeply([@{$stale->{headers}}{qw(x-query-generation x-query-definition-hash x-query-position)}],
        [@{$current->{headers}}{qw(x-query-generation x-query-definition-hash x-query-position)}], 'of the same generation, at the same position');
    is($stale->{headers}{'cache-control'}, 'no-store', 'and nobody keeps it');
}
is($service->get('/queries/sound/customer%202')->{content}, $current->{content}, 'the state is the one before');
is($service->get('/ready?query=sound')->{status}, 200, 'for /ready it counts as ready');
$node->safe_psql('postgres', q{SELECT readmodel.resume('sound')});
$service->wait_for('/queries/sound/customer%202', sub { $_->{headers}{'x-query-status'} eq 'ready' && $_->{content} ne $current->{content} },
    'resumed, it has the new events');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
