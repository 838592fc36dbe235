#!/usr/bin/perl
# http_first_answers.pl PROGRAM DATABASE: starts the HTTP service, prints when /health and when /ready were answered with 200 for the first
# time (ms since 1970), and stops it.
use strict;
use warnings;
use HTTP::Tiny;
use Time::HiRes qw(sleep time);

my ($program, $database) = @ARGV;
my $pid = open my $log, '-|' // die "fork: $!\n";
if (!$pid)
{
    open STDERR, '>&', \*STDOUT or die "dup: $!\n";
    exec $program, '--port', 0, '--database', $database or die "$program: $!\n";
}
my $url;
while (!$url && defined(my $line = <$log>))
{
    ($url) = $line =~ m{listening on (http://[\d.:]+)};
}
die "the service does not listen\n" unless $url;

my $client = HTTP::Tiny->new(timeout => 10);
my $limit = time + 60;

sub first_200
{
    my ($path) = @_;
    while (time < $limit)
    {
        return 1000 * time if $client->get($url . $path)->{status} == 200;
        sleep 0.001;
    }
    kill 'KILL', $pid;
    die "$path is not 200 within a minute\n";
}

my @times = (first_200('/health'), first_200('/ready'));
kill 'TERM', $pid;
1 while <$log>;
close $log or die "the service failed\n";
printf "%.1f %.1f\n", @times;
