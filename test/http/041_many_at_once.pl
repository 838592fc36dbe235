# Requests for single states that wait at the same time are read together: each is answered with its own state, or with what is in the way
# of its own query, also where the connection is lost that read them.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('many', 'log_min_duration_statement = 0');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 60);
define_orders($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.last(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN event;
    SELECT readmodel.define_query('numbers', 'shop', 'public.last(jsonb, jsonb)', key => 'position');
    SELECT readmodel.define_query('secret', 'shop', 'public.last(jsonb, jsonb)', key => 'position')});
wait_until($node, 'postgres', q{readmodel.ready()}, 'all are ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders, readmodel.numbers TO web});
my $hash = $node->safe_psql('postgres', q{SELECT definition_hash FROM readmodel.status() WHERE name = 'orders'});
my $service = HttpService->new($node, options => ['--statement-timeout', '100s', '--queue-timeout', '100s', '--pool-size', 2]);
$service->wait_status('/ready', 200, 'the service is ready');

# Paths, and what they are answered with: a status, and a part of the body.
my @asked = (
    (map { ["/queries/orders/customer%20$_", 200, qr/"orders": /] } 0 .. 9),
    (map { ["/queries/orders/customer%20$_?hash=$hash", 200, qr/"orders": /] } 0 .. 9),
    ["/queries/orders/customer%201?hash=" . '0' x 64, 404, qr/definition hash/],
    ['/queries/orders/nobody', 404, qr/no instance/],
    ['/queries/orders/%22%5C%7B%2C%7D', 404, qr/no instance/],
    ['/queries/orders/NULL', 404, qr/no instance/],
    (map { ["/queries/numbers/$_", 200, qr/"position": $_[,\}]/] } 1 .. 20),
    ['/queries/numbers/ten', 400, qr/no value of the type/],
    ['/queries/secret/1', 403, qr/may not read/],
    ['/queries/secret/2', 403, qr/may not read/],
    ['/queries/nowhere/1', 404, qr/no query/]);

# While nothing can be read, requests gather. The first statement goes as soon as there is a request for it.
sub ask_all
{
    my ($in_between) = @_;
    my $lock = $node->background_psql('postgres', on_error_stop => 1);
    $lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
    my $first = $service->connection;
    print {$first} "GET /queries/orders/customer%200 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    my $waiting = q{FROM pg_stat_activity WHERE usename = 'web' AND wait_event_type = 'Lock'};
    $node->poll_query_until('postgres', "SELECT count(*) = 1 $waiting") or die 'nothing is read';
    my @connections = map { $service->connection } @asked;
    print { $connections[$_] } "GET $asked[$_][0] HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" for 0 .. $#asked;
    # The service takes a request only after those that it has read before.
    $service->wait_for('/metrics-of-nothing', sub { $_[0]{status} == 404 }, 'the service has read them');
    $in_between->($waiting) if $in_between;
    my $log = -s $node->logfile;
    $lock->query_safe('COMMIT');
    $lock->quit;
    my @wrong = grep { HttpService::received($first) !~ m{^HTTP/1.1 200 } } 1;
    foreach my $n (0 .. $#asked)
    {
        my ($path, $status, $body) = @{$asked[$n]};
        my $answer = HttpService::received($connections[$n]);
        push @wrong, "$path: $answer" if $answer !~ m{^HTTP/1.1 $status .*\r\n\r\n.*$body}s;
    }
    is_deeply(\@wrong, [], 'each is answered with its own');
    return scalar(() = slurp_file($node->logfile, $log) =~ /execute read_state: /g);
}

my $statements = ask_all();
cmp_ok($statements, '>', 0, 'they were read');
cmp_ok($statements, '<', @asked / 2, 'by fewer statements than there are requests');
$statements = ask_all(sub
{
    my ($waiting) = @_;
    is($node->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) $waiting"), 1, 'the connection that reads is ended');
    $node->poll_query_until('postgres', "SELECT count(*) > 0 $waiting") or die 'nothing is read';
});
cmp_ok($statements, '<', @asked / 2, 'and gathered');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
