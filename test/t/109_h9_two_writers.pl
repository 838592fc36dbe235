# H9: catch_up in a session and the workers apply the same events of the same generation: one of them wins each batch, the other goes
# on from there, and neither fails.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('race');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 300);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');

# A small log is the tail's to fold, at the moment when the definition is committed: just when catch_up begins.
my $failures = '';
for my $round (1 .. 30)
{
    my ($out, $err);
    $node->psql('postgres', "SET client_min_messages = warning;\nSELECT readmodel.rebuild('orders');\nCALL readmodel.catch_up('orders');", stdout => \$out, stderr => \$err);
    $failures .= $err // '';
}
is($failures, '', 'catch_up never fails');
wait_ready($node, 'postgres', 'the query is ready at the end');
append_orders($node, 'postgres', 10);
states_equal_oracle($node, 'postgres', 'its states are the oracle\'s');
applied_once($node, 'postgres', 'each event was applied once');

$node->stop;
done_testing();
