# A database that lets the service in and then says nothing more: the attempt to connect ends, and there is another one.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use HttpService;

my $database = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp') or die "listen: $!";

# The beginning of the protocol: any role is welcome.
sub let_in
{
    return undef unless IO::Select->new($database)->can_read($HttpService::limit);
    my $client = $database->accept;
    sysread $client, my $startup, 8192;
    my $is_superuser = "is_superuser\0off\0";
    syswrite $client, pack('aNN', 'R', 8, 0) . pack('aN', 'S', 4 + length $is_superuser) . $is_superuser . pack('aNa', 'Z', 5, 'I');
    return $client;
}

my $service = HttpService->new(undef, options => ['--connect-timeout', '1s', '--database',
    'host=127.0.0.1 port=' . $database->sockport . ' user=web dbname=web sslmode=disable gssencmode=disable']);
my @clients = let_in();
ok($clients[0], 'it comes');
$service->answers('/health', 200, '{"status":"ok"}', '/health does not wait for it');
$service->answers('/ready', 503, '{"status":"unavailable"}', 'nor does /ready');
ok($service->wait_log(qr/no answer in time/), 'it gives up');
push @clients, let_in();
ok($clients[1], 'and comes again');
is($service->stop, 0, 'the service stops');
done_testing();
