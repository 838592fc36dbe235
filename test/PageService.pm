# A readmodel-http of its own for a test of the page. The program is the one that READMODEL_HTTP_PROGRAM names.
package PageService;

use strict;
use warnings;
use File::Temp;
use IPC::Run qw(start);
use Time::HiRes qw(sleep time);

# new($node, role => .., database => 'postgres', token => .., port => 0, options => [..])
sub new
{
    my ($class, $node, %options) = @_;
    my $program = $ENV{READMODEL_HTTP_PROGRAM} or die 'READMODEL_HTTP_PROGRAM does not name the service';
    my $self = bless {log => ''}, $class;
    my @arguments = ('--port', $options{port} // 0, '--database', $node->connstr($options{database} // 'postgres') . " user=$options{role}",
        @{$options{options} // []});
    if (defined $options{token})
    {
        $self->{token} = File::Temp->new;
        print {$self->{token}} $options{token};
        $self->{token}->flush;
        push @arguments, '--token-file', $self->{token}->filename;
    }
    $self->{process} = start([$program, @arguments], '<', \undef, '>&', \$self->{log});
    my $limit = time + 30;
    until (($self->{port}) = $self->{log} =~ m{listening on http://127\.0\.0\.1:(\d+)})
    {
        die "readmodel-http does not start: $self->{log}" if time > $limit || !$self->{process}->pumpable;
        $self->{process}->pump_nb;
        sleep 0.02;
    }
    return $self;
}

sub pid { my ($self) = @_; return $self->{process}{KIDS}[0]{PID} }
sub port { my ($self) = @_; return $self->{port} }
sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }

# Its exit status.
sub stop
{
    my ($self) = @_;
    my $process = delete $self->{process} or return;
    $process->signal('TERM');
    $process->finish;
    return $process->full_result(0);
}

sub DESTROY
{
    my ($self) = @_;
    local ($@, $?);
    eval { $self->stop };
    return;
}

1;
