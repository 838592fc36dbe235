# A rebuild, seen over HTTP: from the first answer after the start of the service until the states are there, a change of the
# definition while the older one answers or does not, and two revisions that each ask for their own.
use strict;
use warnings;
use JSON::PP;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('rebuild', 'readmodel.batch_size = 100', 'readmodel.rebuild_rate_limit = 1500', 'readmodel.flush_interval = 200ms');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 4000);
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    ALTER DEFAULT PRIVILEGES IN SCHEMA readmodel GRANT SELECT ON TABLES TO web});
define_orders($node, 'postgres');

my $service = HttpService->new($node);
$service->answers('/health', 200, '{"status":"ok"}', '/health is 200 at once');
$service->wait_for('/ready', sub { $_->{content} !~ /unavailable/ }, 'the database is there');

# Every /ready until it is 200.
my (@lags, @retry, %odd);
$service->wait_for('/ready',
    sub {
        return 1 if $_->{status} == 200;
        my $document = decode_json($_->{content});
        my $query = $document->{queries}[0] // {};
        $odd{$_->{content}}++ unless $_->{status} == 503 && $document->{status} eq 'rebuilding' && @{$document->{queries}} == 1
            && join(' ', sort keys %$query) eq 'estimatedSecondsRemaining lag name position' && $query->{name} eq 'orders';
        push @lags, $query->{lag} // 0 if !@lags || $lags[-1] != ($query->{lag} // 0);
        push @retry, $_->{headers}{'retry-after'};
        my $state = $service->get('/queries/orders/customer%203');
        $odd{"$state->{status} $state->{content}"}++ unless $state->{status} == 200
            || "$state->{status} $state->{content}" eq '503 {"status":"rebuilding"}' && $state->{headers}{'x-query-status'} eq 'rebuilding'
            && $state->{headers}{'x-query-generation'} == 1 && length $state->{headers}{'x-query-definition-hash'} == 64
            && $state->{headers}{'retry-after'} =~ /^[1-9]\d*$/;
        my $list = $service->get('/queries/orders');
        $odd{"$list->{status} $list->{content}"}++ unless $list->{status} == 200
            || "$list->{status} $list->{content}" eq '503 {"status":"rebuilding"}' && $list->{headers}{'x-query-status'} eq 'rebuilding';
        return 0;
    },
    '/ready is 503 rebuilding, then 200');
is_deeply(\%odd, {}, 'meanwhile every answer was as the contract says');
cmp_ok(scalar @lags, '>=', 5, 'the lag was seen to change');
is_deeply(\@lags, [sort { $b <=> $a } @lags], 'it only fell') or diag("@lags");
is(scalar(grep { !defined || !/^[1-9]\d*$/ } @retry), 0, 'Retry-After every time') or diag(explain(\@retry));
cmp_ok(max(@retry), '<=', 60, 'of a sensible length');
my $state = $node->safe_psql('postgres', q{SELECT state FROM readmodel.orders WHERE id = 'customer 3'});
$service->answers('/queries/orders/customer%203', 200, $state, 'then the state is there');
my $old_hash = $service->get('/ready?query=orders')->{headers}{'x-query-definition-hash'};

# A deploy with another definition. The old revision asks for the old one, the new one for the new one.
my $define = q{SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '%s')};
$node->safe_psql('postgres', sprintf $define, '{"version": "2", "while_rebuilding": "serve_previous"}');
my $new_hash = $node->safe_psql('postgres', q{SELECT definition_hash FROM readmodel.status()});
my $stale = $service->get('/queries/orders/customer%203');
is("$stale->{status} $stale->{content}", "200 $state", 'with serve_previous the old generation answers');
is_deeply([@{$stale->{headers}}{qw(x-query-status x-query-generation x-query-definition-hash)}], ['stale', 1, $old_hash],
    'as stale, and says which one it is');
my $probe = $service->get('/ready?query=orders');
is_deeply([$probe->{status}, @{$probe->{headers}}{qw(x-query-status x-query-generation x-query-definition-hash)}], [200, 'stale', 1, $old_hash],
    '/ready says the same');
is($service->get('/ready')->{status}, 200, 'which counts as ready');
is($service->get("/ready?query=orders&hash=$old_hash")->{status}, 200, 'so does the old definition, for who asks for it');
my $pipeline = $service->get("/ready?query=orders&hash=$new_hash");
is($pipeline->{status}, 503, 'the new one is not ready');
is_deeply([@{$pipeline->{headers}}{qw(x-query-status x-query-generation x-query-definition-hash)}], ['rebuilding', 2, $new_hash],
    'and the headers say that it is the new one');
my $asked = $service->get("/queries/orders/customer%203?hash=$new_hash");
is("$asked->{status} $asked->{content}", '503 {"status":"rebuilding"}', 'its state is not there yet');
is($service->get("/queries/orders/customer%203?hash=$old_hash")->{status}, 200, 'that of the old one is');

$node->safe_psql('postgres', sprintf $define, '{"version": "2", "while_rebuilding": "unavailable"}');
$service->answers('/queries/orders/customer%203', 503, '{"status":"rebuilding"}', 'with unavailable nothing answers meanwhile');
$service->wait_status("/ready?query=orders&hash=$new_hash", 200, 'until the new one is ready');
my $fresh = $service->get('/queries/orders/customer%203');
is_deeply([$fresh->{content}, @{$fresh->{headers}}{qw(x-query-status x-query-generation x-query-definition-hash)}],
    [$state, 'ready', 2, $new_hash], 'and answers');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
