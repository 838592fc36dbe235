# States that are large: a page of them ends where it would be more than fits into memory, and the link goes on from there. And clients
# that ask for such pages and take nothing of them cannot fill the memory either.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use HttpService;
use ReadModelCluster;

my $node = new_server('large_pages');
make_shop($node, 'postgres');
# 30 states of 3 MB; the tenth is larger than a page may be; after the twentieth a few that are small.
$node->safe_psql('postgres', q{
    INSERT INTO public.events (stream_id, type, data)
    SELECT to_char(i, 'FM000'), 'Grown', jsonb_build_object('id', to_char(i, 'FM000'), 'text',
        repeat('x', CASE WHEN i = 10 THEN 5000000 WHEN i BETWEEN 21 AND 25 THEN 10 ELSE 3000000 END))
    FROM generate_series(1, 30) i;
    CREATE FUNCTION public.grown(state jsonb, event jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE RETURN event -> 'data';
    SELECT readmodel.define_query('large', 'shop', 'public.grown(jsonb, jsonb)', key => 'stream');
    CREATE ROLE web LOGIN;
    SELECT readmodel.grant_reader('web');
    GRANT SELECT ON readmodel.large TO web});
wait_until($node, 'postgres', q{readmodel.readiness('large') = 'ready'}, 'the query becomes ready');
# AddressSanitizer ("make check-asan") keeps what was freed for a while, here a little of it, and takes memory for itself.
my $sanitizer = $ENV{ASAN_OPTIONS};
my %environment = $sanitizer ? (ASAN_OPTIONS => "$sanitizer:quarantine_size_mb=1") : ();
my $service = HttpService->new($node, environment => \%environment);
$service->wait_status('/ready', 200, 'the service is ready');
my $most = $sanitizer ? 131072 : 65536;

sub pages
{
    my ($limit) = @_;
    my ($next, @pages) = ("/queries/large?limit=$limit");
    while ($next && @pages < 100)
    {
        my $page = $service->get($next);
        last unless is($page->{status}, 200, "limit=$limit: a page");
        ok(length $page->{content} < 4.2e6 || $page->{content} =~ /^\[\{"id": "010"/, 'which is not too large');
        push @pages, [$page->{content} =~ /"id": "(\d+)"/g];
        ($next) = ($page->{headers}{link} // '') =~ m{^<([^>]+)>; rel="next"$};
        like($next, qr/[?&]limit=$limit&/, 'the next one has the same limit') if $next;
    }
    return join ' ', map { join ',', @{$_} } @pages;
}

my @names = map { sprintf '%03d', $_ } 1 .. 30;
my $cut = join ' ', @names[0 .. 18], join(',', @names[19 .. 24]), @names[25 .. 29];
is(pages(100), $cut, 'a page has as many as fit, and at least one');
is(pages(3), join(' ', @names[0 .. 18], '020,021,022', '023,024,025', @names[25 .. 29]), 'or as many as are asked for');
my ($peak) = slurp_file('/proc/' . $service->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
note("the service took up to $peak kB");
cmp_ok($peak, '<', $most, 'the service took no more memory than a few pages (kB)');
my $largest = '/queries/large?limit=1&after=009';
my $length = length $service->get($largest)->{content};
cmp_ok($length, '>', 5e6, 'one state that is larger than a page');
is($service->stop, 0, 'it stops');

# Forty who ask for 5 MB each and take nothing of it: what is kept for them has a limit, and who has waited longest goes. (The kernel
# keeps up to 4 MB of each for itself.)
my $narrow = HttpService->new($node, options => ['--max-unsent', 20, '--write-timeout', '1000s', '--queue-timeout', '100s',
    '--statement-timeout', '100s'], environment => \%environment);
$narrow->wait_status('/ready', 200, 'a service with room for 20 MB');
my @open;
for (1 .. 40)
{
    my $socket = IO::Socket::INET->new(Proto => 'tcp') // die "socket: $@";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096;
    connect $socket, pack_sockaddr_in($narrow->port, inet_aton('127.0.0.1')) or die "connect: $!";
    syswrite $socket, "GET $largest HTTP/1.1\r\nHost: localhost\r\n\r\n";
    push @open, $socket;
}
my %figure;
$narrow->wait_for('/metrics',
    sub {
        %figure = $_->{content} =~ /^readmodel_http_(\w+) (\S+)$/mg;
        return $figure{connections_evicted_total} >= 30 && $figure{connections_handled} == 1 && $figure{unsent_bytes} <= 20e6;
    },
    'those are closed who have waited longest, until what is kept is within the limit');
cmp_ok($figure{unsent_bytes}, '>', 10e6, 'the limit is made use of');
cmp_ok($figure{unsent_limit_bytes}, '==', 20e6, 'and told');
is(length $narrow->get($largest)->{content}, $length, 'who takes his answer has all of it');
@open = ();
$narrow->wait_for('/metrics', sub { $_->{content} =~ /^readmodel_http_unsent_bytes 0$/m }, 'nothing is kept for those who are gone');
($peak) = slurp_file('/proc/' . $narrow->pid . '/status') =~ /^VmHWM:\s+(\d+) kB/m;
note("the service took up to $peak kB");
cmp_ok($peak, '<', $sanitizer ? 200_000 : 100_000, 'the service took little more memory than that (kB)');
is($narrow->stop, 0, 'it stops');

# One alone is not closed, though what he asks for is more than that, and more than the kernel takes for him.
my $least = HttpService->new($node, options => ['--max-unsent', 1]);
$least->wait_status('/ready', 200, 'a service with room for 1 MB');
is(length $least->get($largest)->{content}, $length, 'who is alone has all of a larger answer');
is($least->stop, 0, 'it stops');
$node->stop;
done_testing();
