# SIGTERM: what is under way is answered, what waits is told, nobody else is let in, and all of it ends within five seconds. A manager
# of services that asks for it is told when the service is ready and when it stops.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use Socket;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HttpService;
use ReadModelCluster;
use ServiceManager;

my $node = new_server('stop');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders TO web});

my $manager = ServiceManager->new;
sub told { my ($message) = @_; return $manager->told($message, $HttpService::limit) }

sub ask
{
    my ($service, $target) = @_;
    my $socket = $service->connection;
    print {$socket} "GET $target HTTP/1.1\r\nHost: localhost\r\n\r\n";
    return $socket;
}

my $service = HttpService->new($node, options => ['--log-format', 'json'], environment => {$manager->environment});
ok(told('READY=1'), 'the manager is told that the service is ready');
ok(told('WATCHDOG=1'), 'and that it is alive') for 1 .. 3;
$service->wait_status('/ready', 200, 'it is');

my $idle = ask($service, '/health');
like(HttpService::received($idle, qr/ok"\}$/), qr/ 200 /, 'a connection that stays open');
my $waiting = ask($service, '/queries/orders/customer%201?min_position=1000000&timeout=100000');
my $lock = $node->background_psql('postgres', on_error_stop => 1);
$lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
my $under_way = ask($service, '/queries/orders/customer%201');
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 1 FROM pg_stat_activity WHERE usename = 'web' AND wait_event_type = 'Lock'}),
    'a request that is held up');

# A change of settings is not read, nor does it end the service.
$service->signal('HUP');
ok($service->wait_log(qr/SIGHUP/), 'SIGHUP is told of');
my $half = $service->connection;
print {$half} 'GET /queries/orders/customer%201?min_position=1000000&timeout=100000 HTTP/1.1';
$service->wait_status('/health', 200, 'it is there');

my $began = time;
$service->signal('TERM');
ok(told('STOPPING=1'), 'the manager is told that it stops');
is(HttpService::received($idle), '', 'the silent connection is closed');
like(HttpService::received($waiting), qr{^HTTP/1.1 503 .*Retry-After: 1\r\n.*Connection: close\r\n}s, 'who waits for a position is told to go elsewhere');
my $refused = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $service->port, Proto => 'tcp');
ok(!$refused, 'nobody else is let in');
is($service->ended, undef, 'the service is still there');
print {$half} "\r\nHost: localhost\r\n\r\n";
like(HttpService::received($half), qr{^HTTP/1.1 503 .*Retry-After: 1\r\n}s, 'so is who asks for it only now');
$lock->query_safe('COMMIT');
like(HttpService::received($under_way), qr{^HTTP/1.1 200 .*Connection: close\r\n}s, 'what was under way is answered');
is($service->wait_end, 0, 'and the service ends by itself');
cmp_ok(time - $began, '<', 5, 'within five seconds');
is(scalar(grep { !eval { decode_json($_)->{message} } } split /\n/, $service->log), 0, 'with --log-format=json every line of its log is a document');
like((split /\n/, $service->log)[-1], qr/"message":"stopped"/, 'the last one says that it has stopped');

# What does not end is not waited for.
my $stuck = HttpService->new($node, options => ['--statement-timeout', '100s']);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE usename = 'web' AND state = 'idle'}), 'all connections are there');
$lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
my $never = ask($stuck, '/queries/orders/customer%201');
my $shared = ask($stuck, '/ready');
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 2 FROM pg_stat_activity WHERE usename = 'web' AND wait_event_type = 'Lock'}),
    'requests that are held up for ever');
$began = time;
is($stuck->stop, 0, 'the service ends all the same');
cmp_ok(time - $began, '<', 5, 'within five seconds');
for my $cut (HttpService::received($never), HttpService::received($shared))
{
    like($cut, qr{^HTTP/1.1 503 .*^Retry-After: 1\r\n.*^Connection: close\r\n.*the service is stopping}ms, 'and the request is told so');
    is(scalar(() = $cut =~ m{^HTTP/}mg), 1, 'once');
}
$lock->query_safe('COMMIT');

# Nor does a database that cannot be reached keep it.
my $lonely = HttpService->new(undef, options => ['--database', 'host=203.0.113.1 connect_timeout=60 user=web']);
$began = time;
is($lonely->stop, 0, 'one that is connecting ends too');
cmp_ok(time - $began, '<', 5, 'at once');
$lock->quit;
$node->stop;
done_testing();
