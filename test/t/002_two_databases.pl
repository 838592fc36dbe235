# Databases of one server do not mix, although their sources and generations have the same numbers.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use ReadModelCluster;

my $node = new_server('two');
$node->safe_psql('postgres', 'CREATE DATABASE first');
$node->safe_psql('postgres', 'CREATE DATABASE second');
foreach my $database ('first', 'second')
{
    make_shop($node, $database);
    append_orders($node, $database, $database eq 'first' ? 100 : 300);
    define_orders($node, $database);
}
foreach my $database ('first', 'second')
{
    wait_ready($node, $database, "the query of database $database becomes ready");
    append_orders($node, $database, $database eq 'first' ? 10 : 20);
    states_equal_oracle($node, $database, "the states of database $database are right");
    applied_once($node, $database, "each event of database $database was applied once");
}
isnt(tail_pid($node, 'first'), tail_pid($node, 'second'), 'each has a worker of its own');

$node->safe_psql('second', 'DROP EXTENSION pg_readmodel CASCADE');
no_tail($node, 'second', 'the worker of one database ends');
append_orders($node, 'first', 10);
states_equal_oracle($node, 'first', 'the other goes on');

$node->stop;
done_testing();
