# Rebuild lanes whose generations are dropped before a worker could start do not use up the room for lanes.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

# There is room for 64 lanes, and every source takes one.
my $sources = 33;
my $node = new_server('lanes', 'readmodel.max_rebuild_workers = 0', 'readmodel.batch_size = 10');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 50);
$node->safe_psql('postgres', qq{
    SELECT count(readmodel.create_source('source' || i, 'public.events')) FROM generate_series(1, $sources) i});

foreach my $round (1 .. 3)
{
    $node->safe_psql('postgres', qq{
        SELECT count(readmodel.define_query('query' || i, 'source' || i, 'public.order_placed(jsonb, jsonb)', key => 'stream'))
        FROM generate_series(1, $sources) i});
    ok($node->poll_query_until('postgres',
        q{SELECT count(*) FROM readmodel.status() WHERE reason = 'no_slot: readmodel.max_rebuild_workers is 0'}, $sources),
        "round $round: every query has a lane to wait in")
      or diag($node->safe_psql('postgres', 'SELECT status, reason, count(*) FROM readmodel.status() GROUP BY 1, 2'));
    $node->safe_psql('postgres', q{SELECT count(readmodel.drop_query(name)) FROM readmodel.status()});
}

$node->stop;
done_testing();
