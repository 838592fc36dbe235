#!/usr/bin/perl
# http_connections.pl PORT COUNT TEXT: opens so many connections, sends the text on each ("\n" means CR LF), says "open" once all of that is done
# and, if it was a whole request, each was answered, and keeps them until its standard input ends.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $count, $text) = @ARGV;
$text =~ s/\\n/\r\n/g;
my @open;
for (1 .. $count)
{
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 30) or die "connect: $@\n";
    syswrite $socket, $text;
    push @open, $socket;
    sysread $socket, my $answer, 4096 if $text =~ /\r\n\r\n\z/;
}
$| = 1;
print "open\n";
1 while <STDIN>;
