# A test that dies or is told to end takes with it what it has started: server, service, Prometheus, and the browser's many processes.
#
# Seen to fail when: the signals are left as Perl has them, a program is ended without its session.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/..";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Browser;
use HttpService;
use PrometheusServer;
use ReadModelCluster;
use TestProcess;

# The test that ends.
if (@ARGV)
{
    my $node = new_server('victim');
    my $service = HttpService->new($node);
    my $prometheus = PrometheusServer->new('127.0.0.1:' . $service->port) if PrometheusServer::available();
    my $browser = Browser->new if Browser::available();
    my $session = $node->background_psql('postgres');
    diag('all is there');
    die 'on purpose' if $ARGV[0] eq 'dies';
    sleep 1 while 1;
}

# All of it has its current directory there, or below.
sub running_in
{
    my ($directory) = @_;
    return grep { (readlink("/proc/$_/cwd") // '') =~ m{^\Q$directory\E(/|$)} } map { m{/(\d+)/} } glob '/proc/[0-9]*/cwd';
}

my %victim;
foreach my $end ('dies', 'is told to end')
{
    my $directory = PostgreSQL::Test::Utils::tempdir;
    my $process = TestProcess->new(['/bin/sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $directory,
        $^X, (map { "-I$_" } @INC), "$FindBin::RealBin/$FindBin::RealScript", $end], TESTDIR => $directory);
    $victim{$end} = {directory => $directory, process => $process};
}
foreach my $end (sort keys %victim)
{
    my ($directory, $process) = @{$victim{$end}}{qw(directory process)};
    ok($process->wait_log(qr/all is there/, $HttpService::limit), "a test that $end: it has started all") or diag($process->log);
    if ($end ne 'dies')
    {
        cmp_ok(scalar(running_in($directory)), '>=', 4, 'it runs');
        $process->signal('TERM');
    }
    ok($process->wait_end($HttpService::limit), 'it fails');
    # Servers of PostgreSQL are gone when pg_ctl has seen to it; a browser's helpers follow it by themselves.
    my $limit = time + $HttpService::limit;
    sleep 0.05 while running_in($directory) && time < $limit;
    is(join("\n", map { PostgreSQL::Test::Utils::slurp_file("/proc/$_/cmdline") =~ tr/\0/ /r } running_in($directory)), '', 'and leaves nothing behind')
      or diag($process->log);
}
done_testing();
