# A tail worker runs exactly where the extension is.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('life');
$node->safe_psql('postgres', 'CREATE DATABASE other');

# A creation that is rolled back leaves nothing. Once the launcher has served a later creation, it has seen that too.
$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION pg_readmodel; ROLLBACK');
$node->safe_psql('other', 'CREATE EXTENSION pg_readmodel');
wait_tail($node, 'other', 'a worker starts with CREATE EXTENSION');
no_tail($node, 'postgres', 'none starts where CREATE EXTENSION was rolled back');

make_shop($node, 'other');
append_orders($node, 'other', 50);
define_orders($node, 'other');
wait_ready($node, 'other', 'a query becomes ready');

# A DROP EXTENSION that is not committed yet sends the worker away only for its time.
my $before = tail_pid($node, 'other');
my $session = $node->background_psql('other', on_error_die => 1);
$session->query_safe('SET client_min_messages = warning; BEGIN; DROP EXTENSION pg_readmodel CASCADE');
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $before)"),
    'the worker leaves while the extension is being dropped');
$session->query_safe('ROLLBACK');
$session->quit;
append_orders($node, 'other', 50);
states_equal_oracle($node, 'other', 'it comes back after a rollback');

$node->safe_psql('other', 'DROP EXTENSION pg_readmodel CASCADE');
no_tail($node, 'other', 'it ends after DROP EXTENSION');

$node->safe_psql('other', 'DROP TABLE events; DROP FUNCTION order_placed');
make_shop($node, 'other');
append_orders($node, 'other', 50);
define_orders($node, 'other');
wait_ready($node, 'other', 'a new extension knows nothing of the old one');
states_equal_oracle($node, 'other', 'and its states are right');

$node->stop;
done_testing();
