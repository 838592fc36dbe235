# A dump that is restored into another database is taken up without a replay, and followed from there.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('restore');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 500);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
states_equal_oracle($node, 'postgres', 'its states are the oracle\'s');

my $written = q{SELECT max(updated_at) FROM readmodel.orders};
my $before = $node->safe_psql('postgres', $written);

# COPY and INSERT reach the catalog in different ways; both find the tail worker at work, since the extension comes first.
foreach my $way ('copy', 'inserts')
{
    my $file = "$PostgreSQL::Test::Utils::tmp_check/$way.sql";
    $node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $file, $way eq 'inserts' ? '--inserts' : () ],
        "$way: the database is dumped");
    $node->safe_psql('postgres', "CREATE DATABASE $way");
    $node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($way), '-f', $file ], "$way: it is restored");
    wait_ready($node, $way, "$way: the query is ready again");
    is($node->safe_psql($way, $written), $before, "$way: no state was written anew");
    applied_once($node, $way, "$way: no event was applied again");
    append_orders($node, $way, 50);
    states_equal_oracle($node, $way, "$way: new events are applied");
    applied_once($node, $way, "$way: once");
}

$node->stop;
done_testing();
