# A readmodel-http of its own for a test, on a free port of 127.0.0.1, and means to talk to it. The program is the one that
# READMODEL_HTTP_PROGRAM names, and ends with the test.
package HttpService;

use strict;
use warnings;
use File::Temp;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TestProcess;

# Longer in proportion where PG_TEST_TIMEOUT_DEFAULT is above its 180 s.
our $limit = 30 * $PostgreSQL::Test::Utils::timeout_default / 180;

# new($node, role => 'web', database => 'postgres', token => .., options => [..], environment => {..})
# Returns once it listens.
sub new
{
    my ($class, $node, %options) = @_;
    my $self = $class->launch($node, %options);
    $self->wait_log(qr{listening on http://127\.0\.0\.1:(\d+)});
    ($self->{port}) = $self->log =~ m{listening on http://127\.0\.0\.1:(\d+)} or die 'readmodel-http does not start: ' . $self->log;
    return $self;
}

# The same without waiting for anything: it may be one that refuses to start.
sub launch
{
    my ($class, $node, %options) = @_;
    my $program = $ENV{READMODEL_HTTP_PROGRAM} or die 'READMODEL_HTTP_PROGRAM does not name the service';
    my $self = bless {node => $node}, $class;
    my @arguments = ('--port', $options{port} // 0);
    push @arguments, '--database', $node->connstr($options{database} // 'postgres') . ' user=' . ($options{role} // 'web') if $node;
    if (defined $options{token})
    {
        $self->{token} = File::Temp->new;
        print {$self->{token}} $options{token};
        $self->{token}->flush;
        push @arguments, '--token-file', $self->{token}->filename;
    }
    push @arguments, @{$options{options} // []};
    $self->{process} = TestProcess->new([$program, @arguments], %{$options{environment} // {}});
    return $self;
}

sub port { my ($self) = @_; return $self->{port} }
sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }

sub pid { my ($self) = @_; return $self->{process}->pid }
sub log { my ($self) = @_; return $self->{process}->log }
sub wait_log { my ($self, $pattern) = @_; return $self->{process}->wait_log($pattern, $limit) }

# --- requests ---

# {status, content, headers (names in lower case)} of a request on a connection of its own.
sub request
{
    my ($self, $method, $path, %headers) = @_;
    return HTTP::Tiny->new(keep_alive => 0, timeout => $limit, max_redirect => 0)
      ->request($method, $self->url . $path, {headers => \%headers});
}

sub get { my ($self, $path, %headers) = @_; return $self->request('GET', $path, %headers) }

# The document of a response, whatever its status.
sub json
{
    my ($self, $path) = @_;
    return decode_json($self->get($path)->{content});
}

# Asks until the response is as the condition wants it, and returns it; otherwise the test fails and shows the last one.
sub wait_for
{
    my ($self, $path, $condition, $what) = @_;
    my $end = time + $limit;
    my $response;
    do
    {
        $response = $self->get($path);
        local $_ = $response;
        if ($condition->($response))
        {
            pass($what);
            return $response;
        }
        sleep 0.01;
    } while (time < $end);
    fail($what);
    diag("$path: $response->{status} $response->{content}\n" . $self->log);
    return $response;
}

sub wait_status
{
    my ($self, $path, $status, $what) = @_;
    return $self->wait_for($path, sub { $_->{status} == $status }, $what);
}

# Status and body at once.
sub answers
{
    my ($self, $path, $status, $content, $what) = @_;
    my $response = $self->get($path);
    return is("$response->{status} $response->{content}", "$status $content", $what);
}

# An RFC 9457 problem document with this status.
sub problem
{
    my ($self, $path, $status, $what, %headers) = @_;
    return is_problem($self->get($path, %headers), $status, $what);
}

sub is_problem
{
    my ($response, $status, $what) = @_;
    my $document = eval { decode_json($response->{content}) } // {};
    my $type = $response->{headers}{'content-type'} // '';
    return ok($response->{status} == $status && $type eq 'application/problem+json' && $document->{status} == $status
          && $document->{title} && $document->{detail}, $what)
      || diag("$response->{status} $type $response->{content}");
}

# --- connections by hand ---

sub connection
{
    my ($self) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Proto => 'tcp') // die "connect: $@";
}

# What comes until the service ends the connection, or until the pattern is there.
sub received
{
    my ($socket, $pattern) = @_;
    my ($text, $end) = ('', time + $limit);
    my $select = IO::Select->new($socket);
    while (time < $end)
    {
        return $text if defined $pattern && $text =~ $pattern;
        next unless $select->can_read(0.1);
        my $count = sysread $socket, $text, 65536, length $text;
        return $text if !$count;
    }
    fail('the connection ends, or what is expected comes');
    return $text;
}

# The whole answer to these bytes.
sub raw
{
    my ($self, $bytes) = @_;
    my $socket = $self->connection;
    print {$socket} $bytes;
    return received($socket);
}

# --- its end; each returns its exit status ---

sub signal { my ($self, $signal) = @_; return $self->{process}->signal($signal) }
sub ended { my ($self) = @_; return $self->{process}->ended }
sub wait_end { my ($self) = @_; return $self->{process}->wait_end($limit) }
sub stop { my ($self) = @_; return $self->{process}->stop($limit) }

1;
