# A real Prometheus server scrapes /metrics and is asked for what happens meanwhile: events, a writer who holds them up, a failure, a
# new definition, a database that goes and comes back. What the dashboard asks for is there, and promtool has nothing to complain about.
#
# Seen to fail when: a label is not escaped, a counter lacks "_total", the line "# EOF" is missing, a column of the statement is moved,
# an expression of the dashboard names another metric.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use lib "$FindBin::RealBin/..";
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use PrometheusServer;
use ReadModelCluster;

plan skip_all => 'needs the Debian package prometheus' unless PrometheusServer::available();

my $node = new_server('metrics');
make_shop($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    CREATE FUNCTION public.breaks(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF event ->> 'type' = 'Broken' THEN
            RAISE division_by_zero;
        END IF;
        RETURN jsonb_build_object('n', coalesce((state ->> 'n')::int, 0) + 1);
    END $$;});
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
# A name that would be something else where it is not escaped.
my $evil = qq{a "quoted"\\ name\n} . 'readmodel_up 0';
$node->safe_psql('postgres', qq{
    SELECT readmodel.define_query(\$q\$$evil\$q\$, 'shop', 'public.breaks(jsonb, jsonb)', key => 'stream');
    SELECT readmodel.define_query('skips', 'shop', 'public.breaks(jsonb, jsonb)', key => 'stream', options => '{"on_error": "skip"}')});
wait_ready($node, 'postgres', 'the query is ready');

my $service = HttpService->new($node, role => 'web');
my $prometheus = PrometheusServer->new('127.0.0.1:' . $service->port);

# --- the text ---

sub checked_by_promtool
{
    my ($what) = @_;
    my $response = $service->get('/metrics');
    is($response->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', "$what: the older format, where nothing is asked for");
    my $said = '';
    my $ok = IPC::Run::run(['promtool', 'check', 'metrics'], '<', \$response->{content}, '>&', \$said);
    ok($ok && $said eq '', "$what: promtool has nothing to complain about") or diag("$said\n$response->{content}");
    return;
}

$service->wait_for('/metrics', sub { $_->{content} =~ /^readmodel_up 1$/m }, 'the database is up');
my $text = $service->get('/metrics', Accept => 'application/openmetrics-text');
is($text->{status}, 200, 'it answers');
is($text->{headers}{'content-type'}, 'application/openmetrics-text; version=1.0.0; charset=utf-8', 'it is OpenMetrics, where that is asked for');
is($text->{headers}{'cache-control'}, 'no-store', 'which nobody keeps');
like($text->{content}, qr/\n# EOF\n\z/, 'to the end');
is($service->request('HEAD', '/metrics')->{status}, 200, 'HEAD answers');
checked_by_promtool('with a database');

# --- Prometheus ---

my $orders = '{query="orders"}';
# Nothing else could be told then.
$prometheus->wait_equal('up', 1, 'Prometheus can read it') // die 'Prometheus cannot read it';
$prometheus->wait_equal('readmodel_up', 1, 'no label passes for a sample');
$prometheus->wait_equal("readmodel_query_events_applied_total$orders", 100, 'the events are applied');
is($prometheus->value("readmodel_query_rebuild_events_replayed_total$orders"), 100, 'by the rebuild');
is($prometheus->value("readmodel_query_instances$orders"), 20, 'for 20 customers');
cmp_ok($prometheus->value("readmodel_query_rebuild_duration_seconds$orders"), '>', 0, 'which took some time');
cmp_ok($prometheus->value("readmodel_query_states_bytes$orders"), '>', 0, 'and some room');
is($prometheus->value(qq{readmodel_query_status{query="orders",readmodel_query_status="ready"}}), 1, 'the query is ready');
is($prometheus->value('sum(readmodel_query_status{query="orders"})'), 1, 'and nothing else');
is(scalar @{$prometheus->query('readmodel_query_status{query="orders"}')}, 6, 'of six');
my $names = $prometheus->get('label/query/values');
is_deeply([ sort @$names ], [ sort('orders', 'skips', $evil) ], 'every query has its name') or diag(explain($names));
my $hash = $node->safe_psql('postgres', q{SELECT definition_hash FROM readmodel.status() WHERE name = 'orders'});
is($prometheus->value(qq{readmodel_query_definition_info{query="orders",generation="1",definition_hash="$hash"}}), 1,
    'generation and hash can be told');
my $metadata = $prometheus->get('metadata');
is($metadata->{readmodel_query_status}[0]{type}, 'stateset', 'the status is a state set');
is($metadata->{readmodel_query_rebuild_events_replayed}[0]{type}, 'counter', 'the replayed events are a counter');
is($metadata->{readmodel_query_lag_seconds}[0]{unit}, 'seconds', 'the lag has its unit');
is($metadata->{readmodel_http_request_duration_seconds}[0]{type}, 'histogram', 'latencies are a histogram');

append_orders($node, 'postgres', 50);
$prometheus->wait_equal("readmodel_query_events_applied_total$orders", 150, 'events that arrive are applied');
is($prometheus->value("readmodel_query_rebuild_events_replayed_total$orders"), 100, 'but not by the rebuild');
$prometheus->wait_equal('readmodel_source_head_position{source="shop"}', 150, 'the head has moved');
$prometheus->wait_equal('readmodel_source_settled_position{source="shop"}', 150, 'and so has the settled position');
$prometheus->wait_value("readmodel_query_batches_total$orders", sub { defined && $_ >= 2 }, 'in more than one batch');
$prometheus->wait_equal("readmodel_query_lag_from_head_events$orders", 0, 'nothing is left');
$prometheus->wait_value('readmodel_source_events_read_total{source="shop"}', sub { defined && $_ >= 50 }, 'the tail has read them');

# --- a writer holds events up ---

is($prometheus->value('readmodel_source_blocking_writers{source="shop"}'), 0, 'nobody holds events up');
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO public.events (stream_id, type, data) VALUES ('slow', 'OrderPlaced', '{"amount": 1}')});
append_orders($node, 'postgres', 10);
$prometheus->wait_equal('readmodel_source_blocking_writers{source="shop"}', 1, 'a writer holds events up');
$prometheus->wait_value('readmodel_source_oldest_blocking_writer_age_seconds{source="shop"}', sub { defined && $_ > 0.5 }, 'and gets older');
$prometheus->wait_equal('readmodel_source_pending_hole_position{source="shop"}', 151, 'at this position');
$prometheus->wait_equal("readmodel_query_lag_from_head_events$orders", 11, 'so the query lags');
$writer->query_safe('COMMIT');
$writer->quit;
$prometheus->wait_equal("readmodel_query_lag_from_head_events$orders", 0, 'until he has committed');
$prometheus->wait_equal('readmodel_source_blocking_writers{source="shop"}', 0, 'and nobody holds events up again');
$prometheus->wait_equal('readmodel_source_oldest_blocking_writer_age_seconds{source="shop"}', 0, 'for no time');
$prometheus->wait_equal('count(readmodel_source_pending_hole_position) or vector(0)', 0, 'at no position');

# --- a failure, a dead letter ---

is($prometheus->value('sum(readmodel_query_failures_total)'), 0, 'nothing has failed');
$node->safe_psql('postgres', q{INSERT INTO public.events (stream_id, type, data) VALUES ('broken', 'Broken', '{"amount": 1}')});
$prometheus->wait_equal('sum(readmodel_query_status{readmodel_query_status="failed"})', 1, 'one query has failed');
$prometheus->wait_equal('sum(readmodel_query_failures_total)', 1, 'once');
is($prometheus->value('sum(readmodel_query_failures_total{query=~"(?s)a .*"})'), 1, 'the one that it is');
$prometheus->wait_equal('readmodel_query_dead_letters{query="skips"}', 1, 'the other one has a dead letter');
$node->safe_psql('postgres', q{SELECT readmodel.discard_dead_letter('skips', position) FROM readmodel.dead_letters('skips')});
$prometheus->wait_equal('readmodel_query_dead_letters{query="skips"}', 0, 'which can be given up');

# --- a new definition ---

$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '{"version": "2"}')});
$prometheus->wait_equal("readmodel_query_serving_generation$orders", 2, 'a new generation takes over');
$prometheus->wait_equal("readmodel_query_rebuild_events_replayed_total$orders", 162, 'after it has replayed all events');
$prometheus->wait_equal('count(readmodel_query_definition_info{query="orders"})', 1, 'and is the only one that is told of');

# --- the service itself ---

$service->get('/ready') for 1 .. 5;
$service->get('/nowhere');
$prometheus->wait_equal('sum(readmodel_http_requests_total{route="/ready",method="GET"})', 5, 'requests are counted by route');
$prometheus->wait_value('readmodel_http_requests_total{route="none",code="404"}', sub { defined && $_ >= 1 }, 'also those that reach none');
is($prometheus->value('readmodel_http_request_duration_seconds_count{route="/ready"}'), 5, 'and so are their latencies');
is($prometheus->value('readmodel_http_request_duration_seconds_bucket{route="/ready",le="+Inf"}'), 5, 'in buckets');
$prometheus->wait_value('readmodel_http_database_connections', sub { defined && $_ > 0 }, 'connections to the database are counted');

# --- the dashboard ---

# All that is asked for has samples: a name that is misspelt would be no error. But for what there is only while a query is built.
my $dashboard = decode_json(slurp_file("$FindBin::RealBin/../../src/http/grafana-dashboard.json"));
my %chosen = (__rate_interval => '1m', map { $_->{name} => $_->{allValue} } grep { $_->{allValue} } @{$dashboard->{templating}{list}});
my @asked;
foreach my $panel (@{$dashboard->{panels}})
{
    push @asked, [ "$panel->{title}: $_->{legendFormat}", $_->{expr} ] foreach @{$panel->{targets} // []};
}
foreach my $variable (grep { $_->{type} eq 'query' } @{$dashboard->{templating}{list}})
{
    my ($metric) = $variable->{query}{query} =~ /^label_values\((.*), \w+\)$/ or die "unknown query of variable $variable->{name}";
    push @asked, [ "variable $variable->{name}", $metric ];
}
cmp_ok(scalar @asked, '>', 30, 'the dashboard asks for a lot');
foreach my $one (@asked)
{
    my ($what, $expression) = @$one;
    $expression =~ s/\$(\w+)/$chosen{$1} \/\/ die "unknown variable \$$1 in $what"/ge;
    my $samples = eval { $prometheus->query($expression) };
    ok($samples && (@$samples > 0 || $expression =~ /^readmodel_query_rebuild_remaining_seconds/), "dashboard, $what")
      or diag("$expression: " . ($@ || 'no samples'));
}
ok(exists $prometheus->get('metadata')->{readmodel_query_rebuild_remaining_seconds}, 'the one that has none is known');

# --- without a database ---

$node->stop;
$prometheus->wait_equal('readmodel_up', 0, 'a database that is gone is told');
is($prometheus->value('up'), 1, 'by a service that is there');
$prometheus->wait_equal('count(readmodel_query_status) or vector(0)', 0, 'and nothing is told of queries');
cmp_ok($prometheus->value('sum(readmodel_http_requests_total{route="/ready"})'), '>=', 5, 'but of the service');
is($service->get('/metrics')->{status}, 200, 'it still answers');
checked_by_promtool('without a database');
is($prometheus->value('count(readmodel_down_info{reason="no_connection"})'), 1, 'with the reason');
$node->start;
$prometheus->wait_equal('readmodel_up', 1, 'it comes back by itself');
$prometheus->wait_value('sum(readmodel_query_status{query="orders"})', sub { defined && $_ == 1 }, 'and so do the queries');

# --- without the right to see the queries ---

$node->safe_psql('postgres', q{SELECT readmodel.revoke_reader('web')});
my $blind = $service->get('/metrics')->{content};
like($blind, qr/^readmodel_up 0$/m, 'a role that sees nothing does not report that all is well');
like($blind, qr/^readmodel_down_info\{reason="hidden"\} 1$/m, 'but why it does not');
unlike($blind, qr/^readmodel_(query|source)_\w+\{/m, 'and nothing of what it does not see');
$node->safe_psql('postgres', q{SELECT readmodel.grant_reader('web')});
my $seeing = $service->get('/metrics')->{content};
like($seeing, qr/^readmodel_up 1$/m, 'until it may again');
unlike($seeing, qr/^readmodel_down_info\{/m, 'and then there is no reason');

is($service->stop, 0, 'the service stops');
$prometheus->stop;
done_testing();
