# What systemd is to a service that it starts: a socket on which it is told how the service is.
package ServiceManager;

use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Socket qw(SOCK_DGRAM);

sub new
{
    my ($class) = @_;
    my $path = PostgreSQL::Test::Utils::tempdir_short() . '/notify';
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "$path: $!";
    return bless {path => $path, socket => $socket}, $class;
}

# Variables of the service's environment.
sub environment { my ($self) = @_; return (NOTIFY_SOCKET => $self->{path}, WATCHDOG_USEC => 300000) }

# Whether it is told this within so many seconds.
sub told
{
    my ($self, $expected, $limit) = @_;
    my $end = time + $limit;
    while (time < $end)
    {
        next unless IO::Select->new($self->{socket})->can_read(0.1);
        $self->{socket}->recv(my $message, 4096);
        return 1 if $message =~ /^\Q$expected\E$/m;
    }
    return 0;
}

1;
