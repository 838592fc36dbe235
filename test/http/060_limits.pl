# What is too long, too slow, too much or not HTTP: each is answered as it should, and nothing of it keeps others from being answered.
use strict;
use warnings;
use Errno;
use IO::Select;
use PostgreSQL::Test::Utils;
use Test::More;
use Socket;
use Time::HiRes qw(time usleep);
use HttpService;
use ReadModelCluster;

my $node = new_server('limits');
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'the query becomes ready');
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.orders TO web});
my $service = HttpService->new($node);
$service->wait_status('/ready', 200, 'the service is ready');

# --- requests that are not as they should be ---

my $host = "Host: localhost\r\n";

sub raw_status
{
    my ($bytes, $status, $what) = @_;
    my $answer = $service->raw($bytes);
    like($answer, qr{^HTTP/1\.[01] $status [^\r]+\r\n.*Connection: close\r\n.*\{"type":"about:blank".*"status":$status}s, $what);
    return $answer;
}

raw_status('GET /' . 'x' x 9000 . " HTTP/1.1\r\n${host}Connection: close\r\n\r\n", 414, 'a target that is too long');
raw_status('GET /' . 'x' x 40000, 414, 'one that does not end');
raw_status("GET /health HTTP/1.1\r\n${host}X-Long: " . 'x' x 20000 . "\r\n\r\n", 431, 'a header that is too long');
raw_status("GET /health HTTP/1.1\r\n$host" . "X: y\r\n" x 5000 . "\r\n", 431, 'too many headers');
{
    # In pieces, each of which was read before the next one comes.
    my $socket = $service->connection;
    $socket->syswrite("GET /health HTTP/1.1\r\n$host");
    foreach my $piece (1 .. 8)
    {
        is($service->get('/health')->{status}, 200, 'what was sent has been read');
        last if !$socket->syswrite("X: y\r\n" x 1000);
    }
    like(HttpService::received($socket), qr{^HTTP/1\.1 431 }, 'too many headers, which come in pieces');
}
raw_status("POST /health HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello", 405, 'another method, with a body');
raw_status("GET /health HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello", 413, 'a body');
raw_status("GET /health HTTP/1.1\r\n${host}Content-Length: $_\r\n\r\n", 413, "a body of $_ bytes") for 1 << 20, (1 << 20) + 1, '18446744073709551615';
raw_status("GET /health HTTP/1.1\r\n${host}Content-Length: 18446744073709551616\r\n\r\n", 400, 'one that no number of 64 bits tells');
raw_status("GET /health HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413, 'a body in chunks');
for my $encoding ('gzip', 'identity', 'chunked, gzip', 'xchunked')
{
    my $answer = raw_status("GET /health HTTP/1.1\r\n${host}Transfer-Encoding: $encoding\r\n\r\nGET /health HTTP/1.1\r\n$host\r\n", 413,
        "a body in the encoding \"$encoding\"");
    is(scalar(() = $answer =~ m{^HTTP/1.1 \d}mg), 1, 'which is not taken for the next request');
}
raw_status("GET /health HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, 'two lengths of a body');
raw_status("GET /health HTTP/1.1\r\n${host}Content-Length: -1\r\n\r\n", 400, 'a length that is none');
raw_status("GET /health HTTP/2.0\r\n$host\r\n", 505, 'another version of HTTP');
raw_status("hello\r\n\r\n", 400, 'no HTTP at all');
raw_status("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, 'TLS');
raw_status("GET /health HTTP/1.1\r\n${host}broken\r\n\r\n", 400, 'a header that is none');
like($service->raw("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"), qr{^HTTP/1.1 400 }, 'no header Host');
like($service->raw("GET /health HTTP/1.1\r\n$host${host}Connection: close\r\n\r\n"), qr{^HTTP/1.1 400 }, 'two of them');
like($service->raw("GET health HTTP/1.1\r\n${host}Connection: close\r\n\r\n"), qr{^HTTP/1.1 400 }, 'a target that is no path');

# --- connections ---

like($service->raw("GET /health HTTP/1.0\r\n\r\n"), qr{^HTTP/1.0 200 OK\r\n.*Connection: close\r\n.*\{"status":"ok"\}$}s, 'HTTP/1.0 needs no Host');
like($service->raw("GET http://elsewhere/health HTTP/1.1\r\n${host}Connection: close\r\n\r\n"), qr{^HTTP/1.1 200 }, 'the absolute form of a target');
my @targets = ('/health', '/queries/orders/customer%201', '/nothing', '/ready', '/queries/orders?limit=1', '/queries/nobody', '/health');
my $answers = $service->raw(join('', map { "GET $_ HTTP/1.1\r\n$host\r\n" } @targets)
    . "HEAD /queries/orders/customer%201 HTTP/1.1\r\n${host}Connection: close\r\n\r\n");
is(join(' ', $answers =~ m{HTTP/1.1 (\d+)}g), '200 200 404 200 200 404 200 200', 'requests at once are answered in their order');
like($answers, qr{\{"status":"ok"\}HTTP/1.1 200 OK.*\r\n\r\n$}s, 'the last one, a HEAD, without a body');
my $many = $service->raw("GET /health HTTP/1.1\r\n$host\r\n" x 20000 . "GET /health HTTP/1.1\r\n${host}Connection: close\r\n\r\n");
is(scalar(() = $many =~ /\{"status":"ok"\}/g), 20001, 'even twenty thousand of them');
my $piecewise = $service->connection;
$piecewise->autoflush(1);
print {$piecewise} $_ for split //, "GET /health HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
like(HttpService::received($piecewise), qr{^HTTP/1.1 200 }, 'a request that comes byte by byte');
my ($request, @broken) = "GET /health HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
for my $at (1 .. length($request) - 1)
{
    my $socket = $service->connection;
    print {$socket} substr $request, 0, $at;
    usleep(3000);    # so that the two parts are read by themselves; if they are not, less is tested
    print {$socket} substr $request, $at;
    push @broken, $at if HttpService::received($socket) !~ m{^HTTP/1.1 200 };
}
is("@broken", '', 'a request in two parts, wherever it is broken');

# --- clients that are slow ---

my $strict = HttpService->new($node, options => ['--header-timeout', '500ms', '--idle-timeout', '1s', '--max-connections', 50]);
$strict->wait_status('/ready', 200, 'a service with little patience');

sub closed_after
{
    my ($begin, $least, $what) = @_;
    my ($socket, $began) = ($strict->connection, time);
    $socket->autoflush(1);
    print {$socket} $begin;
    my $text = HttpService::received($socket);
    my $took = time - $began;
    ok($took >= $least && $took < $least + 5, "$what is closed in time ($took s)");
    return $text;
}

closed_after('', 0.5, 'a connection without a request');
closed_after("GET /health HTTP/1.1\r\nHo", 0.5, 'half a request');
{
    my $patient = HttpService->new($node, options => ['--header-timeout', '100s']);
    my $socket = $patient->connection;
    print {$socket} "GET /health HTTP/1.1\r\nHo";
    $socket->flush;
    shutdown($socket, 1);
    ok(IO::Select->new($socket)->can_read(30), 'half a request of a client that says that it has no more');
    is(sysread($socket, my $answer, 1), 0, 'is not waited for');
}
like(closed_after("GET /health HTTP/1.1\r\n$host\r\n", 1.0, 'a kept connection'), qr/\{"status":"ok"\}$/, 'after its answer');
my ($dripping, $began) = ($strict->connection, time);
$dripping->autoflush(1);
local $SIG{PIPE} = 'IGNORE';
print {$dripping} 'GET /health HTTP/1.1';
while (time < $began + 10)
{
    print {$dripping} "\r\nX: y" or last;
    last if IO::Select->new($dripping)->can_read(0.05);
}
cmp_ok(time - $began, '<', 5, 'who sends a little again and again is closed too');

# Who asks on and on and takes no answer, some of which come at once and some later, is given up, whatever was under way.
{
    my $patient = HttpService->new($node, options => ['--write-timeout', '1s']);
    $patient->wait_status('/ready', 200, 'a service that waits a second for its answers to be taken');
    my $socket = $patient->connection;
    $socket->blocking(0);
    my $requests = "GET /health HTTP/1.1\r\n$host\r\nGET /ready HTTP/1.1\r\n$host\r\n" x 500;
    my ($until, $written) = (time + 60, 1);
    # No room for two seconds: nothing is read from us any more.
    while (time < $until && IO::Select->new($socket)->can_write(2))
    {
        $written = syswrite($socket, $requests);
        last if !defined $written && !$!{EAGAIN};
    }
    $patient->wait_for('/metrics', sub { $_[0]{content} =~ /^readmodel_http_connections 1$/m }, 'who takes no answer is closed');
    is($patient->stop, 0, 'and it stops');
}

# More of them than there may be connections: each new one takes the place of one that has owed a request longest.
my @open;
for my $round (1 .. 300)
{
    my $socket = $strict->connection;
    print {$socket} 'GET /hea' if $round % 2;
    push @open, $socket;
    is($strict->get('/health')->{status}, 200, "/health after $round of them") if $round % 60 == 0;
}
@open = ();

# Nor do clients that ask for much and take nothing of it keep others out.
my $stuffed = HttpService->new($node, options => ['--max-connections', 4]);
for (1 .. 4)
{
    my $socket = IO::Socket::INET->new(Proto => 'tcp') // die "socket: $@";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096;
    connect $socket, pack_sockaddr_in($stuffed->port, inet_aton('127.0.0.1')) or die "connect: $!";
    $socket->blocking(0);
    push @open, $socket;
}
my $left = 400;
for (my $end = time + 10; $left > 0 && time < $end;)
{
    # Until nothing is taken from any of them any more, since their answers are not.
    my $taken = 0;
    $taken += syswrite($_, "GET /health HTTP/1.1\r\n$host\r\n" x 1000) // 0 for @open;
    $left = $taken ? 400 : $left - 1;
    usleep(1000) unless $taken;
}
is($left, 0, 'clients that take nothing');
is($stuffed->get('/health')->{status}, 200, '/health finds room');
is($stuffed->stop, 0, 'the service stops');
@open = ();

# Nor do those that the service has just answered and whose next request is there in part: all of them come to it at once, and then one more.
my $eager = HttpService->new($node, options => ['--max-connections', 4]);
for (1 .. 4)
{
    push @open, $eager->connection;
    $open[-1]->autoflush(1);
    print {$open[-1]} "GET /health HTTP/1.1\r\n$host\r\n";
    HttpService::received($open[-1], qr/"ok"\}$/);    # it is one of the four
}
$eager->signal('STOP');
print {$_} "GET /health HTTP/1.1\r\n$host\r\nGET /hea" for @open;
my $fifth = $eager->connection;
$fifth->autoflush(1);
print {$fifth} "GET /health HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
$eager->signal('CONT');
like(HttpService::received($fifth), qr{^HTTP/1.1 200 }, 'clients in the middle of their requests keep nobody out');
is($eager->stop, 0, 'the service stops');
@open = ();

# --- too much to do ---

# What holds up every read of the catalog.
my $lock = $node->background_psql('postgres', on_error_stop => 1);
$lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
my $busy = HttpService->new($node, options => ['--pool-size', 1, '--batch-size', 1, '--queue-size', 6, '--queue-timeout', '100s',
    '--statement-timeout', '100s']);
$busy->wait_log(qr/connected to the database/);
my @under_way;
for (1 .. 4)
{
    push @under_way, $busy->connection;
    print {$under_way[-1]} "GET /queries/orders/customer%201 HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
}
my $full = $busy->wait_status('/queries/orders/customer%201?timeout=1&min_position=1', 503, 'one that finds the half of the queue that its query may have full');
HttpService::is_problem($full, 503, 'is told so');
is($full->{headers}{'retry-after'}, 1, 'and when to come again');
$began = time;
is($busy->get('/queries/orders/customer%201')->{status}, 503, 'again') for 1 .. 20;
cmp_ok(time - $began, '<', 5, 'at once');
is($busy->get('/health')->{status}, 200, 'which is nothing to /health');
$lock->query_safe('COMMIT');
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @under_way), 4, 'those that were in time are answered');
is($busy->get('/queries/orders/customer%201')->{status}, 200, 'and others again');

# Those who share a read wait without a place in the queue. As many may as leave places for who asks for what never waits.
my $crowd = HttpService->new($node, options => ['--max-connections', 16, '--statement-timeout', '100s']);
$crowd->wait_status('/ready', 200, 'a service with few places');
$lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
my @sharing = map { $crowd->connection } 1 .. 14;
for my $socket (@sharing)
{
    print {$socket} "GET /health HTTP/1.1\r\n$host\r\nGET /ready HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
    HttpService::received($socket, qr/"ok"\}$/);    # then the second one waits
}
for my $path ('/ready', '/queries', '/metrics', '/queries/orders/customer%201', '/queries/orders/customer%201?min_position=1000000')
{
    my $refused = $crowd->get($path);
    HttpService::is_problem($refused, 503, "$path has no place left");
    is($refused->{headers}{'retry-after'}, 1, 'and says when to come again');
}
is($crowd->get('/health')->{status}, 200, '/health has one') for 1 .. 20;
$lock->query_safe('COMMIT');
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @sharing), 14, 'those who wait are answered');
$crowd->wait_status('/ready', 200, 'and others again');
is($crowd->stop, 0, 'the service stops');

# Statements of a batch have the limit of their time one by one, as long as all of them may take together.
$node->safe_psql('postgres', q{
    CREATE FUNCTION public.slowly() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.6); RETURN true; END';
    CREATE ROLE maker;
    SELECT readmodel.grant_definer('maker');
    GRANT SELECT ON public.events TO maker;
    SET ROLE maker;
    SELECT readmodel.define_query('slow', 'shop', 'public.order_placed(jsonb, jsonb)', key => $$'all'$$);
    GRANT SELECT ON readmodel.slow TO web});
wait_until($node, 'postgres', q{readmodel.readiness('slow') = 'ready'}, 'a query with one state');
my $table = $node->safe_psql('postgres', q{SELECT DISTINCT d.refobjid::regclass FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE r.ev_class = 'readmodel.slow'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class});
$node->safe_psql('postgres', "ALTER TABLE $table ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY slowly ON $table USING (public.slowly())");
my $patient = HttpService->new($node, options => ['--pool-size', 1, '--statement-timeout', '1s', '--queue-timeout', '20s']);
$patient->wait_status('/ready', 200, 'a service with one connection');
my @batch = map { $patient->connection } 1 .. 6;
for my $socket (@batch)
{
    print {$socket} "GET /queries/slow?limit=1 HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
}
is(scalar(grep { HttpService::received($_) =~ m{^HTTP/1.1 200 } } @batch), 6, 'a batch of slow statements is waited for');
unlike($patient->log, qr/lost (?:all )?connections/, 'on the same connection');
is($patient->stop, 0, 'the service stops');

# The same with little patience for statements.
my $hasty = HttpService->new($node, options => ['--pool-size', 1, '--batch-size', 1, '--queue-timeout', '100ms', '--statement-timeout', '600ms']);
$hasty->wait_status('/ready', 200, 'another service');
$lock->query_safe('BEGIN; LOCK TABLE readmodel_catalog.query IN ACCESS EXCLUSIVE MODE');
my ($first, $second) = ($hasty->connection, $hasty->connection);
for my $socket ($first, $second)
{
    print {$socket} "GET /queries/orders/customer%201 HTTP/1.1\r\n${host}Connection: close\r\n\r\n";
}
like(HttpService::received($second), qr{^HTTP/1.1 503 .*Retry-After: 1\r\n}s, 'a statement that waits too long for its turn');
like(HttpService::received($first), qr{^HTTP/1.1 503 .*Retry-After: 1\r\n.*57014}s, 'a statement that takes too long');
is(scalar(() = $hasty->log =~ /warning: a statement failed \(statement: read_state, sqlstate: 57014\)/g), 1, 'which is logged');
$lock->query_safe('COMMIT');
$lock->quit;
$hasty->wait_status('/queries/orders/customer%201', 200, 'and all goes on');

is($_->stop, 0, 'the service stops') for $service, $strict, $busy, $hasty;
$node->stop;
done_testing();
