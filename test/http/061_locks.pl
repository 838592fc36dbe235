# Somebody locks the table of one query's states: probes and the reads of other queries are answered all the same, and who asked for what
# is locked is told that it took too long, not that there were too many.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HttpService;
use ReadModelCluster;

my $node = new_server('locks');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 50);
define_orders($node, 'postgres');
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.other(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN '{"other": 1}'::jsonb;
    SELECT readmodel.define_query('other', 'shop', 'public.other(jsonb, jsonb)', key => 'stream');
    SELECT readmodel.define_query('third', 'shop', 'public.other(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', qq{readmodel.readiness('$_') = 'ready'}, "$_ becomes ready") for 'orders', 'other', 'third';
$node->safe_psql('postgres', q{
    SELECT readmodel.create_event_table('public.apart');
    SELECT readmodel.create_source('apart', 'public.apart');
    INSERT INTO public.apart (stream_id, type) VALUES ('customer 1', 'x');
    SELECT readmodel.define_query('apart', 'apart', 'public.other(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', q{readmodel.readiness('apart') = 'ready'}, 'one of another source, too');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders, readmodel.other, readmodel.third, readmodel.apart TO web});
my $service = HttpService->new($node, options => ['--statement-timeout', '100s', '--queue-timeout', '1s', '--batch-size', 2]);
$service->wait_status('/ready', 200, 'the service is ready');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE usename = 'web'}), 'all connections are there');

sub ask
{
    my ($query, @sockets) = @_;
    my $parameters = ref $sockets[-1] ? '' : pop @sockets;
    print {$_} "GET /queries/$query/customer%201$parameters HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" for @sockets;
    return;
}

my $table = $node->safe_psql('postgres', q{
    SELECT DISTINCT refobjid::regclass FROM pg_depend d JOIN pg_rewrite r ON d.objid = r.oid
    JOIN pg_class c ON c.oid = d.refobjid
    WHERE r.ev_class = 'readmodel.orders'::regclass AND d.classid = 'pg_rewrite'::regclass AND c.relnamespace = 'readmodel_data'::regnamespace});
my $lock = $node->background_psql('postgres', on_error_stop => 1);
$lock->query_safe("BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
my @held = map { $service->connection } 1 .. 8;
ask('orders', @held);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE usename = 'web' AND wait_event_type = 'Lock'}),
    'reads of the locked query hold two connections of four');

my $began = time;
$service->wait_status('/ready?query=other', 200, "/ready says of the other query that it is ready");
like($service->get('/ready')->{content}, qr/^\{"status":"(ready|stalled)"/, 'and of all what there is to say');
is($service->get('/queries/other/customer%201')->{status}, 200, 'the other query is read') for 1 .. 5;
is($service->get('/queries')->{status}, 200, 'the list of queries is answered');
cmp_ok(time - $began, '<', 5, 'all of that soon');
is($service->get('/queries/orders/customer%202')->{content} =~ /did not get to this request in time/ ? 1 : 0, 1,
    'who has no turn in time is told just that');

# What comes together with reads of the locked query waits in no batch with them, once something of its batch has been slow.
my $batches = HttpService->new($node, options => ['--statement-timeout', '100s', '--queue-timeout', '100s', '--pool-size', 5],
    environment => {PGAPPNAME => 'batches'});
$batches->wait_status('/ready?query=other', 200, 'a service with large batches');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 5 FROM pg_stat_activity WHERE application_name = 'batches'}), 'all its connections are there');

# All at once, so that they are shared out among the connections that are free.
sub together
{
    my @sockets = map { $batches->connection } @_;
    $batches->signal('STOP');
    ask($_[$_], $sockets[$_]) for 0 .. $#_;
    $batches->signal('CONT');
    return @sockets;
}

# A batch of two, in which the locked one is not the first, and one for each of the other connections.
my @first = together(qw(other orders other other other));
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 AND min(clock_timestamp() - query_start) > '500 ms' FROM pg_stat_activity
    WHERE application_name = 'batches' AND wait_event_type = 'Lock'}), 'one connection waits for longer than is usual');
my @second = together(('orders', 'third', 'other') x 4);
my @free = @second[grep { $_ % 3 } 0 .. 11];
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @free), 8, 'reads of others do not wait');

# Nor can who asks for what is locked, again and again, fill the queue.
my $small = HttpService->new($node, options => ['--statement-timeout', '100s', '--queue-timeout', '100s', '--batch-size', 1, '--queue-size', 20],
    environment => {PGAPPNAME => 'small'});
$small->wait_status('/ready?query=other', 200, 'a service with a small queue');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name = 'small'}), 'all its connections are there');
my @crowd = map { $small->connection } 1 .. 40;
ask('orders', @crowd[0, 1]);
# Before the others: where all come in one turn, the first two still stand in the queue.
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE application_name = 'small' AND wait_event_type = 'Lock'}),
    'two hold a connection each');
ask('orders', @crowd[2 .. 39]);
$small->wait_for('/metrics', sub { $_->{content} =~ /^readmodel_http_statements_refused_total 28$/m },
    'of forty two have a connection each, ten wait, and the others are sent away');
like($small->get('/metrics')->{content}, qr/^readmodel_http_statements_waiting 10$/m, 'which is half of the queue');
is($small->get('/queries/other/customer%201')->{status}, 200, 'the other query is read all the same') for 1 .. 5;
my $waits = $small->connection;
ask('apart', $waits, '?timeout=300000&min_position=2');
$small->wait_for('/metrics', sub { $_->{content} =~ /^readmodel_http_position_waits 1$/m }, 'somebody waits for a position of another one');
$node->safe_psql('postgres', q{INSERT INTO public.apart (stream_id, type) VALUES ('customer 1', 'x')});
like(HttpService::received($waits), qr{^HTTP/1.1 200 }, 'and is answered when it is reached');
$lock->query_safe('COMMIT');
$lock->quit;
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @crowd), 12, 'those who were let in are answered');
is($small->stop, 0, 'the service stops');
my @rest = (@first, @second[0, 3, 6, 9]);
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @rest), 9, 'as are those who came beside others');
is($batches->stop, 0, 'the service stops');
my @answers = map { HttpService::received($_) } @held;
my $read = grep { m{^HTTP/1.1 200 } } @answers;
cmp_ok($read, '>=', 2, 'those who had a turn are answered once the lock is gone');
is(scalar(grep { m{^HTTP/1.1 503 .*Retry-After: 1\r\n.*in time}s } @answers), 8 - $read, 'the others were told to come again');
is($service->get('/queries/orders/customer%201')->{status}, 200, 'and all goes on');
is($service->stop, 0, 'the service stops');
$node->stop;
done_testing();
