# What the page is made of, over HTTP: its files with their headers, and the feed of server-sent events. One sample a second serves
# all open pages, none is taken while no page is open, and a page that does not read is sent away.
#
# Seen to fail when: the timer goes on without a page, the history is not sent, the reason is taken from status().
use strict;
use warnings;
use FindBin;
use HTTP::Tiny;
use IO::Select;
use IPC::Run ();
use IO::Socket::INET;
use JSON::PP;
use POSIX qw(strftime);
use Socket qw(SOL_SOCKET SO_RCVBUF inet_aton pack_sockaddr_in);
use Time::HiRes qw(sleep time);
use lib "$FindBin::RealBin/..";
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;
use ReadModelCluster;

my $limit = 30;

my $node = new_server('page_feed', "log_line_prefix = '%u %m '");
make_shop($node, 'postgres');
append_orders($node, 'postgres', 100);
define_orders($node, 'postgres');
wait_ready($node, 'postgres', 'a query is ready');
# A role that would see the messages of errors in SQL.
$node->safe_psql('postgres', q{
    CREATE ROLE web LOGIN;
    GRANT pg_monitor TO web;
    ALTER ROLE web SET log_min_duration_statement = 0});
my $service = HttpService->new($node, role => 'web', options => ['--statement-timeout', '60s', '--write-timeout', '2s']);
$service->wait_status('/ready', 200, 'the service has found the database');

# --- the files ---

my $http = HTTP::Tiny->new(timeout => 10);
my $page = $http->get($service->url . '/');
is($page->{status}, 200, 'the page');
is($page->{headers}{'content-type'}, 'text/html; charset=utf-8', '.. is HTML');
is($page->{headers}{'x-content-type-options'}, 'nosniff', '.. and nothing else');
is($page->{headers}{'cache-control'}, 'no-cache', '.. is asked for each time');
like($page->{headers}{'content-security-policy'}, qr/^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;/,
    '.. may use nothing from elsewhere');
unlike($page->{content}, qr{(?:src|href)="(?:https?:)?//}, '.. and does not ask for it');

my %files = ('/page.css' => 'text/css; charset=utf-8', map { $_ => 'text/javascript; charset=utf-8' } '/page.js', '/stream.js', '/queries.js');
foreach my $path ('/', sort keys %files)
{
    my $whole = $http->get($service->url . $path);
    my $etag = $whole->{headers}{etag};
    is($whole->{headers}{'content-type'}, $files{$path} // 'text/html; charset=utf-8', "$path: its type");
    my $again = $http->get($service->url . $path, {headers => {'If-None-Match' => $etag}});
    is("$again->{status} " . length($again->{content} // ''), '304 0', "$path: not sent again to whoever has it");
    is($http->get($service->url . $path, {headers => {'If-None-Match' => '"another"'}})->{status}, 200, "$path: unless it is another one");
    my $head = $http->head($service->url . $path);
    is("$head->{status} $head->{headers}{'content-length'} $head->{content}", '200 ' . length($whole->{content}) . ' ', "$path: HEAD");
}
is($http->get($service->url . '/page.html')->{status}, 404, 'there are no others');
is($http->post($service->url . '/')->{status}, 405, 'the page only reads');

# --- the feed ---

# A page that is open: a socket, what came and is not used yet, and the head of the response.
sub open_page
{
    my (%options) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    setsockopt($socket, SOL_SOCKET, SO_RCVBUF, $options{buffer}) or die $! if $options{buffer};
    my $to = $options{service} // $service;
    connect($socket, pack_sockaddr_in($to->port, inet_aton('127.0.0.1'))) or die $!;
    syswrite($socket, "GET /events HTTP/1.1\r\nHost: localhost\r\n" . ($options{headers} // '') . "\r\n");
    my $self = {socket => $socket, rest => ''};
    return $self if $options{mute};
    take($self) until $self->{rest} =~ s/^(.*?)\r\n\r\n//s;
    $self->{head} = $1;
    return $self;
}

# More of what comes; false at the end.
sub take
{
    my ($self) = @_;
    die "nothing came within $limit s, after: $self->{rest}" unless IO::Select->new($self->{socket})->can_read($limit);
    return sysread($self->{socket}, $self->{rest}, 65536, length $self->{rest});
}

# The next event, or comment, as text.
sub event
{
    my ($self) = @_;
    while (1)
    {
        my $end = index $self->{rest}, "\n\n";
        return substr(substr($self->{rest}, 0, $end + 2, ''), 0, $end) if $end >= 0;
        take($self) or return;
    }
}

# The next message.
sub message
{
    my ($self) = @_;
    while (defined(my $event = event($self)))
    {
        return decode_json($1) if $event =~ /^data: (.*)$/s;
    }
    return;
}

# The first message for which the condition holds.
sub message_with
{
    my ($self, $condition) = @_;
    my $until = time + $limit;
    while (time < $until)
    {
        my $message = message($self) or last;
        return $message if $condition->($message);
    }
    return;
}

sub statements_seen
{
    my $log = slurp_file($node->logfile);
    return scalar(() = $log =~ /^web .*execute page_queries/mg);
}

my $first = open_page();
like($first->{head}, qr{^HTTP/1\.1 200 .*^Content-Type: text/event-stream; charset=utf-8}ms, 'the feed');
like($first->{head}, qr/^Cache-Control: no-store/m, '.. is not kept');
my $message = message($first);
ok($message->{database}, 'the first message has a database');
like($message->{at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, '.. the time');
is_deeply([sort keys %{$message->{queries}[0]}], [sort qw(name status reason served generation definitionHash servingGeneration servingStatus position
    settledPosition headPosition lag lagSeconds eventsApplied eventsPerSecond estimatedSecondsRemaining rebuildStartedAt rebuildFinishedAt instances
    bytes workerPid errorSqlstate errorPosition deadLetters failures)], '.. what status() says of a query, without messages');
is(join(' ', @{$message->{queries}[0]}{qw(name status served generation position lag eventsApplied instances deadLetters failures)}),
    'orders ready ready 1 100 0 100 20 0 0', '.. with the values');
like($message->{queries}[0]{rebuildStartedAt}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/, '.. and times that a browser can read');
is_deeply([sort keys %{$message->{sources}[0]}], [sort qw(name events settledPosition headPosition pendingHole blockedBy blockedFor batches lockLookups eventsRead)],
    '.. and what source_status() says of a source');
is(join(' ', @{$message->{sources}[0]}{qw(name events settledPosition headPosition)}), 'shop public.events 100 100', '.. with the values');
is_deeply($message->{history}{lag}, {orders => [0]}, 'the history begins with it');
ok(!exists message($first)->{history}, '.. and is sent once');
message($first) for 1 .. 2;

# Who holds a source up.
my ($stdin, $stdout) = ('', '');
my $session = IPC::Run::start(['psql', '-XAtq', '-d', $node->connstr('postgres')], '<', \$stdin, '>', \$stdout);
$stdin .= "BEGIN; INSERT INTO public.events (stream_id, type, data) VALUES ('w', 'OrderPlaced', '{\"amount\": 1}'); SELECT 'pid', pg_backend_pid();\n";
my $until = time + $limit;
while ($stdout !~ /pid\|(\d+)/ && time < $until) { $session->pump_nb; sleep 0.02 }
my ($pid) = $stdout =~ /pid\|(\d+)/;
append_orders($node, 'postgres', 5);
$message = message_with($first, sub { ($_[0]{sources}[0]{blockedBy} // [])->[0] });
is_deeply($message->{sources}[0]{blockedBy}, [$pid + 0], 'the process that holds a source up');
is($message->{sources}[0]{pendingHole}, 101, '.. where');
like($message->{sources}[0]{blockedFor}, qr/^\d+(\.\d+)?$/, '.. and for how long, in seconds');
is($message->{queries}[0]{lag}, 6, 'the lag of the query that cannot go on');
$stdin .= "ROLLBACK;\n\\q\n";
$session->finish;

# --- numbers that a JavaScript number would round ---

$node->safe_psql('postgres', q{
    SELECT readmodel.create_event_table('public.far');
    ALTER SEQUENCE public.far_position_seq RESTART 9007199254740993;
    SELECT readmodel.create_source('far', 'public.far');
    INSERT INTO public.far (stream_id, type) VALUES ('x', 'y')});
my $far;
$until = time + $limit;
while (!$far && time < $until) { ($far) = event($first) =~ /"name":"far".*?"headPosition":(.*?),/ }
is($far, '"9007199254740993"', 'a large position is sent as text');

# --- several pages, one sample ---

my @pages = map { open_page() } 1 .. 3;
my $history = message($pages[0])->{history};
cmp_ok(scalar @{$history->{at}}, '>=', 5, 'a page that is opened later learns what was before');
is(scalar @{$history->{lag}{orders}}, scalar @{$history->{at}}, '.. for each time a lag');
ok((grep { defined && $_ == 6 } @{$history->{lag}{orders}}), '.. that of the writer too');
message($_) for @pages[1, 2];
# What was sent before and is still to be read does not count.
my $before = statements_seen();
my $began = time;
my $from = strftime('%Y-%m-%dT%H:%M:%S', gmtime $began) . sprintf('.%03dZ', ($began - int $began) * 1000);
for my $reader (@pages, $first)
{
    my $samples = 0;
    while ($samples < 3) { $samples++ if message($reader)->{at} gt $from }
}
my $samples = statements_seen() - $before;
cmp_ok($samples, '<=', time - $began + 2, 'four pages: one sample a second');
cmp_ok($samples, '>=', 2, '.. no less');
close $_->{socket} for @pages, $first;
$until = time + $limit;
my $idle = 0;
while (!$idle && time < $until)
{
    $before = statements_seen();
    sleep 2.5; # more than two samples
    $idle = statements_seen() == $before;
}
ok($idle, 'without a page no sample is taken');

# --- messages of errors are for SQL alone ---

$node->safe_psql('postgres', q{
    CREATE FUNCTION public.fails(state jsonb, event jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN RAISE EXCEPTION 'the secret is %', 'rosebud' USING ERRCODE = 'XX123'; END $$;
    SELECT readmodel.define_query('fails', 'shop', 'public.fails(jsonb, jsonb)', key => 'stream')});
wait_until($node, 'postgres', q{readmodel.readiness('fails') = 'failed'}, 'a query fails');
is($node->safe_psql('postgres', q{SET ROLE web; SELECT count(*) FROM readmodel.status() s WHERE s::text LIKE '%rosebud%'}), 1,
    'the role would see the message');
my $watching = open_page();
my $event = event($watching);
unlike($event, qr/rosebud/, '.. the page does not');
my ($failed) = grep { $_->{name} eq 'fails' } @{decode_json(substr $event, 6)->{queries}};
is(join(' ', @{$failed}{qw(status reason errorSqlstate errorPosition)}), 'failed updater_error: SQLSTATE XX123 at position 1 XX123 1',
    '.. but code, SQLSTATE and position');
is($failed->{failures}, 1, '.. and that it failed once');

# --- a database that does not answer ---

($stdin, $stdout) = ('', '');
$session = IPC::Run::start(['psql', '-XAtq', '-d', $node->connstr('postgres')], '<', \$stdin, '>', \$stdout);
$stdin .= "BEGIN; LOCK TABLE readmodel_catalog.query; SELECT 'locked';\n";
$until = time + $limit;
while ($stdout !~ /locked/ && time < $until) { $session->pump_nb; sleep 0.02 }
my $beat;
$until = time + $limit;
while (!$beat && time < $until) { $beat = event($watching) =~ /^: / }
ok($beat, 'while a sample takes long, there are signs of life');
$stdin .= "ROLLBACK;\n\\q\n";
$session->finish;
ok(message($watching)->{database}, '.. and then it comes');

$node->stop('fast');
my $down = message_with($watching, sub { !$_[0]{database} });
is($down->{reason}, 'no_connection', 'no database is a message too');
ok(!exists $down->{queries}, '.. which says nothing of queries');
is(message($watching)->{since}, $down->{since}, '.. but since when');
$node->start;
ok(message_with($watching, sub { $_[0]{database} }), '.. and it comes back by itself');

# A role that sees nothing any more is not told that there is nothing.
$node->safe_psql('postgres', 'REVOKE pg_monitor FROM web');
my $blind = message_with($watching, sub { !$_[0]{database} });
is($blind->{reason}, 'hidden', 'nor does a role see what it may not');
ok(!exists $blind->{$_}, ".. and the message says nothing of $_") for 'queries', 'sources';
$node->safe_psql('postgres', 'GRANT pg_monitor TO web');
ok(message_with($watching, sub { $_[0]{database} }), '.. until it may again');

# --- a page that does not read ---

$node->safe_psql('postgres', q{
    SELECT readmodel.define_query(repeat('long name ', 5) || i, 'shop', spec => '{"key": "all", "on": {"OrderPlaced": {"add": {"orders": 1}}}}')
    FROM generate_series(1, 300) i});
sub descriptors { my @open = glob('/proc/' . $service->pid . '/fd/*'); return scalar @open }
message_with($watching, sub { @{$_[0]{queries}} == 302 });
my $open = descriptors();
my $deaf = open_page(buffer => 2048, mute => 1);
$until = time + $limit;
sleep 0.05 while descriptors() == $open && time < $until;
is(descriptors(), $open + 1, 'a page that does not read');
$until = time + 4 * $limit;
message($watching) while descriptors() > $open && time < $until;
is(descriptors(), $open, '.. is sent away');
ok(message($watching), '.. and the others go on');

# --- the end ---

my $begun = time;
is($service->stop, 0, 'the service stops with a page open');
cmp_ok(time - $begun, '<', 5, '.. at once');
1 while defined event($watching);
pass('.. and the feed ends');

# --- with a token ---

my $guarded = HttpService->new($node, role => 'web', token => 'sesame-open');
is($http->get($guarded->url . $_)->{status}, 200, "with a token $_ is open") foreach '/', '/page.js', '/page.css';
is($http->get($guarded->url . '/events')->{status}, 401, '.. the feed is not');
ok(message(open_page(service => $guarded, headers => "Authorization: Bearer sesame-open\r\n")), '.. but to whoever has it');
$guarded->stop;

# --- an outage that nobody saw end ---

my $other = HttpService->new($node, role => 'web');
$other->wait_status('/queries', 200, 'another service');
my $page = open_page(service => $other);
ok(message_with($page, sub { $_[0]{database} }), 'a page');
$node->stop('fast');
my $before = message_with($page, sub { !$_[0]{database} })->{since};
close $page->{socket};
$other->wait_for('/metrics', sub { $_[0]{content} =~ /^readmodel_http_connections 1$/m }, 'it is left');
$node->start;
$other->wait_status('/queries', 200, 'nobody sees the database come back');
$node->stop('fast');
$page = open_page(service => $other);
my $since = message_with($page, sub { !$_[0]{database} })->{since};
cmp_ok($since, 'gt', $before, 'the next outage is another one');
close $page->{socket};
is($other->stop, 0, 'it stops');
done_testing();
