# A Prometheus server of its own for a test: an ordinary process on a free port of 127.0.0.1 with a data directory of its own, that
# scrapes the given address, and ends with the test.
package PrometheusServer;

use strict;
use warnings;
use File::Temp;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use TestProcess;

# Longer in proportion where PG_TEST_TIMEOUT_DEFAULT is above its 180 s.
our $limit = 60 * $PostgreSQL::Test::Utils::timeout_default / 180;

sub available { return which('prometheus') && which('promtool') }

sub which
{
    my ($program) = @_;
    return scalar grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# new('127.0.0.1:8080'): scrapes its /metrics every quarter of a second. Returns once it answers.
sub new
{
    my ($class, $target) = @_;
    my $self = bless {directory => File::Temp->newdir, http => HTTP::Tiny->new(timeout => 10)}, $class;
    my $config = "$self->{directory}/prometheus.yml";
    open my $file, '>', $config or die "$config: $!";
    print {$file} <<"END";
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
- job_name: readmodel
  static_configs: [{targets: ['$target']}]
END
    close $file;
    # The port is free when it is looked for; somebody else may be faster.
    for my $try (1 .. 5)
    {
        return $self if $self->start($config);
    }
    die "Prometheus does not start:\n" . $self->{process}->log;
}

sub start
{
    my ($self, $config) = @_;
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1) // die "no port: $@";
    my $address = '127.0.0.1:' . $socket->sockport;
    close $socket;
    $self->{url} = "http://$address";
    $self->{process} = TestProcess->new(
        ['prometheus', "--config.file=$config", "--web.listen-address=$address", "--storage.tsdb.path=$self->{directory}/data"]);
    my $end = time + $limit;
    until ($self->{http}->get("$self->{url}/-/ready")->{status} == 200)
    {
        if (defined $self->{process}->ended || time > $end)
        {
            $self->{process}->stop($limit);
            return 0;
        }
        sleep 0.05;
    }
    return 1;
}

# --- what it knows ---

# The document that its API returns as "data"; dies of an error.
sub api
{
    my ($self, $path, %parameters) = @_;
    my $response = $self->{http}->post_form("$self->{url}/api/v1/$path", \%parameters);
    my $document = eval { decode_json($response->{content}) } // die "$path: $response->{status} $response->{content}";
    die "$path: $document->{error}\n" if $document->{status} ne 'success';
    return $document->{data};
}

sub get
{
    my ($self, $path) = @_;
    return decode_json($self->{http}->get("$self->{url}/api/v1/$path")->{content})->{data};
}

# The samples that the expression has now: [{metric => {..}, value => [time, text]}, ..]
sub query
{
    my ($self, $expression) = @_;
    return $self->api('query', query => $expression)->{result};
}

# The one value of the expression now; nothing if there is none, or several.
sub value
{
    my ($self, $expression) = @_;
    my $samples = $self->query($expression);
    return @$samples == 1 ? $samples->[0]{value}[1] : undef;
}

# Waits until the one value of the expression is as the condition wants it. Returns it; otherwise the test fails, shows the last one
# and returns nothing.
sub wait_value
{
    my ($self, $expression, $condition, $what) = @_;
    my $end = time + $limit;
    my $value;
    do
    {
        $value = $self->value($expression);
        local $_ = $value;
        if ($condition->($value))
        {
            pass($what);
            return $value;
        }
        sleep 0.05;
    } while (time < $end);
    fail($what);
    diag("$expression: " . ($value // 'none'));
    diag("$_->{health}: $_->{lastError}") foreach @{$self->get('targets')->{activeTargets}};
    return undef;
}

sub wait_equal
{
    my ($self, $expression, $wanted, $what) = @_;
    return $self->wait_value($expression, sub { defined && $_ eq $wanted }, $what);
}

sub stop { my ($self) = @_; return $self->{process}->stop($limit) }

1;
