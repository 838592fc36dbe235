# The option max_lag: a query that is ready, and behind for longer than that, is stalled until it has caught up. Without the option it
# stays ready, and the reason names the writer.
#
# Guards Member::current_at and add_lag. Seen to fail with current_at taken at each step, and with the head of the log not asked for.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('lag', 'readmodel.poll_interval = 1h');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 40);
$node->safe_psql('postgres', qq{
    SELECT readmodel.define_query('$_->[0]', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '$_->[1]')})
  foreach [ 'limited', '{"max_lag": "1500 ms"}' ], [ 'patient', '{}' ], [ 'quick', '{"max_lag": "100 ms"}' ];
wait_until($node, 'postgres', 'readmodel.ready()', 'they are ready');

# Nothing happens for longer than the limit, and for longer than the worker needs to look again: there is no lag in that.
is($node->safe_psql('postgres', q{SELECT bool_and(status) FROM generate_series(1, 30) AS i,
    LATERAL (SELECT pg_sleep(0.05 + 0 * i)) AS wait,
    LATERAL (SELECT readmodel.readiness(CASE WHEN i > 0 THEN 'quick' END) = 'ready' AS status) AS seen}), 't',
    'a quiet log is no lag');

# A writer stays open; what others commit after him is not settled.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO public.events (stream_id, type, data) VALUES ('customer 1', 'OrderPlaced', '{"amount": 1}')});
my $pid = $writer->query_safe('SELECT pg_backend_pid()');
append_orders($node, 'postgres', 5);
wait_until($node, 'postgres', q{status = 'stalled' AND reason ~ '^lag: .* max_lag is 1.5 s; writer: .*pid }
      . $pid . q{' AND lag_seconds > 1.5 FROM readmodel.status() WHERE name = 'limited'}, 'beyond the limit it is stalled, and says who is to blame');
is($node->safe_psql('postgres', q{SELECT status, reason ~ '^writer' FROM readmodel.status() WHERE name = 'patient'}), 'ready|t',
    '.. and one without the limit is ready');
my ($code, $out, $err) = $node->psql('postgres', q{\set VERBOSITY sqlstate
SELECT readmodel.get('limited', 'customer 1')});
like($err, qr/RM004/, 'get says so');
is($node->safe_psql('postgres', q{SELECT readmodel.ready('{limited}'), readmodel.ready('{patient}')}), 'f|t', 'ready() too');

# The option acts at once, both ways.
$node->safe_psql('postgres', q{SELECT readmodel.define_query('limited', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
    options => '{"max_lag": "1 h"}')});
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('limited')}), 'ready', 'a longer limit makes it ready at once');
$node->safe_psql('postgres', q{SELECT readmodel.define_query('limited', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream',
    options => '{"max_lag": "1 s"}')});
is($node->safe_psql('postgres', q{SELECT readmodel.readiness('limited')}), 'stalled', '.. and a shorter one stalls it');

$writer->query_safe('COMMIT');
$writer->quit;
wait_until($node, 'postgres', q{bool_and(status = 'ready' AND lag = 0) FROM readmodel.status()}, 'caught up, it is ready again');
query_equals_oracle($node, 'postgres', 'limited');

$node->stop;
done_testing();
