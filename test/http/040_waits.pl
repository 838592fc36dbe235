# Reading one's own writes: a request with min_position waits until the query includes it. It holds no connection meanwhile, ends in
# time, or when the query has failed, or when the client hangs up.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HttpService;
use ReadModelCluster;

my $node = new_server('waits');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders TO web});
# One connection to the database, and one waiting request at a time in the other: whoever held one would be noticed.
my $service = HttpService->new($node, options => ['--pool-size', 1, '--batch-size', 1]);
my $narrow = HttpService->new($node, options => ['--max-waits', 1]);
$_->wait_status('/ready', 200, 'a service') for $service, $narrow;

sub ask
{
    my ($socket, $target) = @_;
    print {$socket} "GET $target HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    return $socket;
}

# Each writer reads what it wrote, at once.
my $wrong = 0;
for my $amount (1 .. 30)
{
    my $position = append_order($node, 'postgres', 'me', $amount);
    my $response = $service->get("/queries/orders/me?min_position=$position&timeout=20000");
    $wrong++ unless $response->{status} == 200 && decode_json($response->{content})->{positions}[-1] == $position
        && $response->{headers}{'x-query-position'} >= $position;
}
is($wrong, 0, 'a state that was asked for with min_position includes that position');
my $position = append_order($node, 'postgres', 'me', 1);
my $list = $service->get("/queries/orders?min_position=$position&timeout=20000&limit=1000");
cmp_ok($list->{headers}{'x-query-position'}, '>=', $position, 'so do the states of a page');

my $began = time;
my $late = $service->get('/queries/orders/me?min_position=1000000&timeout=400');
my $took = time - $began;
HttpService::is_problem($late, 504, '504 when the time is up');
is(decode_json($late->{content})->{position}, $position, 'with the position that was reached');
is_deeply([@{$late->{headers}}{qw(x-query-position x-query-status x-query-generation x-query-definition-hash)}],
    [$position, 'ready', 1, $node->safe_psql('postgres', 'SELECT definition_hash FROM readmodel.status()')],
    'in a header too, and the headers say of which generation');
is(decode_json($late->{content})->{queryStatus}, 'ready', 'and the status');
ok($took >= 0.4 && $took < 5, "after the time that was given ($took s)");
is($service->get('/queries/orders/me?min_position=1000000&timeout=0')->{status}, 504, 'at once with timeout=0');
is($service->get("/queries/orders/me?min_position=$position&timeout=0")->{status}, 200, 'which is enough for what is there');
$service->problem('/queries/nobody/me?min_position=1', 404, '404 is not waited with');
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('by_amount', 'shop', 'public.order_placed(jsonb, jsonb)', key => $$(data ->> 'amount')::bigint$$);
    GRANT SELECT ON readmodel.by_amount TO web});
wait_until($node, 'postgres', q{readmodel.readiness('by_amount') = 'ready'}, 'a query whose ids are numbers');
$service->problem("/queries/by_amount$_&min_position=1000000&timeout=2000", 400, "nor is 400: $_") for '/none?', '?after=none';

# Many wait. The one connection has time for others.
my @waiting = map { ask($service->connection, '/queries/orders/me?min_position=' . ($position + 1)) } 1 .. 100;
$began = time;
is($service->get('/queries/orders/me')->{status}, 200, 'others are answered') for 1 .. 20;
cmp_ok(time - $began, '<', 5, 'soon');
my $next = append_order($node, 'postgres', 'me', 7);
is($next, $position + 1, 'the position that is awaited');
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 .*"positions": \[[^]]*\b$next\]}s } @waiting), 100, 'all are answered with it');

# Many more than there is room for reads: whoever was let in is answered all the same.
my $crowded = HttpService->new($node, options => ['--pool-size', 1, '--batch-size', 1, '--queue-size', 4]);
$crowded->wait_status('/ready', 200, 'a service with little room');
my $last = append_order($node, 'postgres', 'me', 8);
my @crowd;
for my $i (1 .. 60)
{
    push @crowd, ask($crowded->connection, '/queries/orders/me?min_position=' . ($last + 1));
    my $what = "readmodel_http_position_waits $i";
    # One after another, so that none finds the queue full when it comes.
    $crowded->wait_for('/metrics', sub { $_->{content} =~ /^$what$/m }, "$i wait");
}
append_order($node, 'postgres', 'me', 9);
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @crowd), 60, 'all of a crowd are answered with their position');
is($crowded->stop, 0, 'the service stops');
$position = $last - 1;

# Who hangs up waits no more: there is room for one.
my $held = ask($narrow->connection, '/queries/orders/me?min_position=1000000');
$narrow->wait_for('/queries/orders/me?min_position=1000000&timeout=0', sub { $_->{status} == 503 }, 'a second one has no room');
my $full = $narrow->get('/queries/orders/me?min_position=1000000&timeout=0');
HttpService::is_problem($full, 503, 'which is a 503');
is($full->{headers}{'retry-after'}, 1, 'with Retry-After');
is($narrow->get('/queries/orders/me')->{status}, 200, 'who does not wait needs no room');
close $held;
$narrow->wait_status('/queries/orders/me?min_position=1000000&timeout=0', 504, 'there is room again when the first one has hung up');

# A request that comes on the same connection while the first one waits is answered after it.
my $pipelined = $service->connection;
print {$pipelined} "GET /queries/orders/me?min_position=1000000&timeout=300 HTTP/1.1\r\nHost: localhost\r\n\r\n";
print {$pipelined} "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
like(HttpService::received($pipelined), qr{^HTTP/1.1 504 .*HTTP/1.1 200 .*\{"status":"ok"\}$}s, 'in the order in which they were asked');

# A query that fails ends the wait at once.
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.fails_later(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
    BEGIN
        IF event #>> '{data,amount}' = '4242' THEN
            RAISE EXCEPTION 'no';
        END IF;
        RETURN '{}';
    END $$;
    SELECT readmodel.define_query('fragile', 'shop', 'public.fails_later(jsonb, jsonb)', key => 'stream');
    GRANT SELECT ON readmodel.fragile TO web});
wait_until($node, 'postgres', q{readmodel.readiness('fragile') = 'ready'}, 'a query that will fail');
my $doomed = ask($service->connection, '/queries/fragile/me?min_position=1000000&timeout=200000');
$service->wait_status('/health', 200, 'meanwhile');
append_order($node, 'postgres', 'me', 4242);
like(HttpService::received($doomed), qr{^HTTP/1.1 503 .*\{"status":"failed","reason":"updater_error[^"]*"\}$}s, 'a failure ends the wait');

# So do an operator's decisions, whether or not the position is there, and when the wait has begun already.
my $held_up = ask($service->connection, '/queries/orders/me?min_position=1000000&timeout=200000');
$service->wait_status('/health', 200, 'meanwhile');
$node->safe_psql('postgres', q{SELECT readmodel.pause('orders')});
my $is_paused = qr{^HTTP/1.1 503 .*X-Query-Status: paused\r\n.*Retry-After: 5\r\n.*\{"status":"paused","reason":"operator\b[^"]*"\}$}s;
my $is_paused_too = qr{^HTTP/1.1 503 .*Retry-After: 5\r\n.*X-Query-Status: paused\r\n.*\{"status":"paused","reason":"operator\b[^"]*"\}$}s;
like(HttpService::received($held_up), qr{$is_paused|$is_paused_too}, 'a pause ends the wait');
my $paused = ask($service->connection, '/queries/orders/me?min_position=1&timeout=200000');
like(HttpService::received($paused), qr{$is_paused|$is_paused_too}, 'and nobody waits for one who is paused');
$node->safe_psql('postgres', q{SELECT readmodel.resume('orders')});
$service->wait_status('/queries/orders/me?min_position=1&timeout=20000', 200, 'it goes on');

# Who may not read any more is told so.
my $revoked = ask($service->connection, '/queries/orders/me?min_position=1000000&timeout=500');
$service->wait_status('/health', 200, 'meanwhile');
$node->safe_psql('postgres', q{REVOKE SELECT ON readmodel.orders FROM web});
like(HttpService::received($revoked), qr{^HTTP/1.1 403 }, 'SELECT is revoked during the wait');
$node->safe_psql('postgres', q{GRANT SELECT ON readmodel.orders TO web});

# The database goes: the wait ends.
my $lost = ask($service->connection, '/queries/orders/me?min_position=1000000&timeout=200000');
$service->wait_status('/health', 200, 'meanwhile');
$node->stop('immediate');
like(HttpService::received($lost), qr{^HTTP/1.1 503 .*\{"status":"unavailable"\}$}s, 'without a database nobody waits');
is($_->stop, 0, 'the service stops') for $service, $narrow;
done_testing();
