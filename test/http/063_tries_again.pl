# A read that the server breaks off for the sake of another transaction (a deadlock, 40P01) is asked again by itself, and whoever asked
# never hears of it.
#
# Seen to fail when: the service asks once only.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('again');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
# The first to look for a deadlock is the one that it ends.
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    ALTER ROLE web SET deadlock_timeout = '2s';
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders TO web});
my $states = $node->safe_psql('postgres', q{SELECT readmodel.state_table('orders')});
my $index = $node->safe_psql('postgres', "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '$states'::regclass AND indisprimary");
my $service = HttpService->new($node);
$service->wait_status('/ready', 200, 'the service is ready');

my $operator = $node->background_psql('postgres', on_error_stop => 1);
$operator->query_safe("SET deadlock_timeout = '1h'");
$operator->query_safe("BEGIN; ALTER INDEX $index SET TABLESPACE pg_default");
my $reader = $service->connection;
print {$reader} "GET /queries/orders/customer%201 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
my $waits = q{FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE usename = 'web' AND wait_event_type = 'Lock'};
wait_until($node, 'postgres', "count(*) > 0 $waits AND NOT granted", 'a read has the table of states and waits for its index');
$operator->query_safe("LOCK TABLE $states IN ACCESS EXCLUSIVE MODE");
like(slurp_file($node->logfile), qr/deadlock detected/, 'the two wait for each other, and the read is broken off');
wait_until($node, 'postgres', "count(*) > 0 $waits AND NOT granted", 'it is asked again');
$operator->query_safe('COMMIT');
like(HttpService::received($reader), qr{^HTTP/1.1 200 .*"orders": 1}s, 'and answered');
unlike($service->log, qr/a statement failed/, 'nobody hears of it');
$operator->quit;
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
