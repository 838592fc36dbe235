# The database is stopped and started: /health is 200 all along, /ready says that it is unavailable, and all recovers by itself.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('goes');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders TO web});

$node->stop;
my $service = HttpService->new($node);
my $health = 0;
my $path = '/queries/orders/customer%201';

sub healthy
{
    my $response = $service->get('/health');
    $health++ if "$response->{status} $response->{content}" ne '200 {"status":"ok"}';
    return 1;
}

sub unavailable
{
    my ($what) = @_;
    $service->wait_for('/ready', sub { healthy() && $_->{status} == 503 && $_->{content} eq '{"status":"unavailable"}' }, $what);
    $service->answers($path, 503, '{"status":"unavailable"}', "$what: so is a query");
    is($service->get($path)->{headers}{'retry-after'}, 1, "$what: and it says when to come again");
    is($service->get('/queries')->{status}, 503, "$what: nor is there a list");
}

sub available
{
    my ($what) = @_;
    $service->wait_for('/ready', sub { healthy() && $_->{status} == 200 }, $what);
    is($service->get($path)->{status}, 200, "$what: and queries answer");
}

unavailable('it starts without a database');
$node->start;
available('the database comes');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE usename = 'web'}), 'with all connections');
# It finds them all ended when it looks again: as one loss.
$service->signal('STOP');
$node->stop('immediate');
$service->signal('CONT');
unavailable('the database goes');
ok($service->wait_log(qr/lost all connections/), 'the log tells of it');
is(join("\n", $service->log =~ /lost [^(]*\(connections: \d+/g), 'lost all connections to the database (connections: 4', 'in one line');
$node->start;
available('it comes again');
$node->restart;
available('it is restarted');

# A connection is ended now and then: nobody notices, since what was under way is asked again elsewhere.
my $failed = 0;
for (1 .. 20)
{
    $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE usename = 'web' ORDER BY random() LIMIT 1});
    $failed++ if $service->get($path)->{status} != 200;
}
is($failed, 0, 'connections that are ended one at a time are not noticed');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'web'});
available('all connections are ended');

# A server that hangs: nothing comes back, and that is said in time.
my $slow = HttpService->new($node, options => ['--statement-timeout', '300ms', '--pool-size', '2']);
my $connected = q{SELECT count(*) = %d FROM pg_stat_activity WHERE usename = 'web'};
ok($node->poll_query_until('postgres', sprintf $connected, 6), 'another service, and all connections are open');
my @backends = split /\n/, $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE usename = 'web'});
kill 'STOP', @backends;
$slow->wait_for('/ready', sub { $_->{content} eq '{"status":"unavailable"}' }, 'backends that hang are given up');
$slow->answers('/health', 200, '{"status":"ok"}', '/health does not mind');
kill 'CONT', @backends;
$slow->wait_status('/ready', 200, 'and replaced');

# The extension is dropped and made anew while connections stay.
$node->safe_psql('postgres', 'DROP EXTENSION pg_readmodel CASCADE');
$service->wait_for('/ready', sub { $_->{content} eq '{"status":"unavailable"}' }, 'without the extension nothing is available');
for my $path ('/queries/orders', '/queries/orders/me', '/queries/orders/me?min_position=1')
{
    my $response = $service->get($path);
    is("$response->{status} $response->{content}", '503 {"status":"unavailable"}', "$path: nor is a query");
    is($response->{headers}{'x-query-status'}, 'unavailable', 'and the header says so');
}
$service->get('/ready') for 1 .. 50;
$node->safe_psql('postgres', q{CREATE EXTENSION pg_readmodel; SELECT readmodel.create_source('shop', 'public.events');
    SELECT readmodel.grant_reader('web')});
define_orders($node, 'postgres');
$node->safe_psql('postgres', 'GRANT SELECT ON readmodel.orders TO web');
available('with the extension it is');
is(scalar(() = $service->log =~ /warning: a statement failed \(statement: readiness_report, sqlstate: /g) <= 3, 1, 'the log tells of it, not once a request');
like($service->log, qr/a statement failed \(statement: readiness_report/, 'it does');
is($health, 0, '/health was 200 all along');
is($_->stop, 0, 'the service stops') for $service, $slow;
$node->stop;
done_testing();
