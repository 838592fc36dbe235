# Connections can be made, and the server ends each with the first thing that it is asked: the service does not make new ones without a
# pause, goes on to answer what it can, and says what is wrong.
#
# Seen to fail when: a lost connection is always followed by a new one at once.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HttpService;
use ReadModelCluster;

my $node = new_server('ends');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 20);
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    CREATE ROLE maker;
    SELECT readmodel.grant_definer('maker');
    GRANT SELECT ON public.events TO maker;
    SET ROLE maker;
    SELECT readmodel.define_query('orders', 'shop', 'public.order_placed(jsonb, jsonb)', key => 'stream');
    GRANT SELECT ON readmodel.orders TO web});
wait_ready($node, 'postgres', 'the query becomes ready');
my $states = $node->safe_psql('postgres', q{SELECT readmodel.state_table('orders')});
$node->safe_psql('postgres', "
    CREATE FUNCTION public.ends() RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
    AS 'SELECT pg_terminate_backend(pg_backend_pid())';
    ALTER TABLE $states ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY ends ON $states USING (public.ends())");
my $service = HttpService->new($node);
$service->wait_status('/ready', 200, 'the service is ready');

my ($began, $asked, %answers) = (time, 0);
while (time < $began + 4)
{
    $answers{$service->get('/queries/orders/customer%201')->{status}}++;
    $service->get('/ready');
    $asked++;
}
my $took = time - $began;
is(join(' ', keys %answers), 503, 'what ends the connection is told to be unavailable');
my ($connects) = $service->wait_for('/metrics', sub { $_->{content} =~ /^readmodel_http_database_connects_total (\d+)$/m }, 'counted')->{content}
  =~ /^readmodel_http_database_connects_total (\d+)$/m;
note("$asked requests and $connects connections in $took s");
cmp_ok($connects, '<', 10 + 40 * $took, 'new connections are made with pauses');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
