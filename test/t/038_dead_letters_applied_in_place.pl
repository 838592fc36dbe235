# Events that a query has passed over are corrected and applied after all, while others arrive and more are passed over. Each state
# has its events in their order, and in the end every event once.
#
# Guards query::Retry, and Correction, which locks the checkpoint and counts what was applied. Seen to fail without FOR UPDATE (what the
# worker stored meanwhile is lost), without the events that are added to the checkpoint's, and with a letter that fails taken for
# another event.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('letters', 'readmodel.batch_size = 20');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
$node->safe_psql('postgres', q{
    SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream', options => '{"on_error": "skip"}')});
wait_ready($node, 'postgres', 'the query is ready');

my $script = $node->basedir . '/append.pgbench';
append_to_file($script, q{
\set customer random(0, 19)
INSERT INTO public.events (stream_id, type, data)
VALUES ('customer ' || :customer, 'OrderPlaced', jsonb_build_object('amount', CASE WHEN :customer % 5 = 0 AND random() < 0.3 THEN 'many' ELSE '7' END));
});
my $output = '';
my $appends = IPC::Run::start([ $node->installed_command('pgbench'), '-n', '-h', $node->host, '-p', $node->port, '-c', 2, '-R', 300,
    '-T', 600, '-f', $script, 'postgres' ], '<', \undef, '>&', \$output);

my $corrected = 0;
my $applied = 0;
foreach my $round (1 .. 12)
{
    wait_until($node, 'postgres', q{count(*) >= 6 FROM readmodel.dead_letters('orders')}, "round $round: events are passed over");
    # One is retried that cannot be applied yet; some that can; and, at times, all there are.
    my ($hopeless) = $node->safe_psql('postgres', q{SELECT max(position) FROM readmodel.dead_letters('orders')});
    $node->safe_psql('postgres', qq{
        UPDATE public.events SET data = '{"amount": 7}' WHERE position IN (SELECT position FROM readmodel.dead_letters('orders') WHERE position <> $hopeless ORDER BY position LIMIT 3)});
    $corrected += 3;
    is($node->safe_psql('postgres', "SET client_min_messages = warning; SELECT readmodel.retry_dead_letters('orders', $hopeless)"), '0',
        "round $round: one that was not corrected is not applied");
    my $at = $round % 2 ? '' : q{, position) FROM (SELECT position FROM readmodel.dead_letters('orders') ORDER BY position LIMIT 3) d};
    $applied += $_
      foreach split /\n/, $node->safe_psql('postgres', "SET client_min_messages = warning; SELECT readmodel.retry_dead_letters('orders'" . ($at || ')'));
    is($applied, $corrected, "round $round: those that were corrected are applied");
    is($node->safe_psql('postgres', q{SELECT * FROM readmodel.verify('orders')}), '', "round $round: nothing differs");
}
$appends->signal('TERM');
$appends->finish;
$node->safe_psql('postgres', q{SELECT readmodel.wait_for('orders', (SELECT max(position) FROM public.events), '60 s');
    UPDATE public.events SET data = '{"amount": 7}' WHERE data ->> 'amount' = 'many';
    SELECT readmodel.retry_dead_letters('orders')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM readmodel.dead_letters('orders')}), '0', 'all are applied');
query_equals_oracle($node, 'postgres', 'orders');
$node->stop;
done_testing;
