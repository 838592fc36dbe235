# The unit for systemd, as far as it goes without systemd: its command line, with the file of settings and the credential that README.md
# tells of, gives a service that says when it is ready, when it reads its token again, and when it stops, and that asks for the token.
# Its log as JSON stays JSON, whatever names it has to tell.
#
# Seen to fail when: the unit sets another variable than the service reads, the service says nothing, a name is put into JSON as it is.
use strict;
use warnings;
use JSON::PP;
use Socket;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HttpService;
use ReadModelCluster;
use ServiceManager;
use TestProcess;

my $directory = PostgreSQL::Test::Utils::tempdir;
my $role = qq{we"b\\};
my $node = new_server('unit');
$node->safe_psql('postgres', q{
    CREATE EXTENSION pg_readmodel;
    CREATE ROLE "we""b\" LOGIN;
    SELECT readmodel.grant_reader('we"b\')});

# --- what systemd would make of the unit and of the README's addition to it ---

my $unit = slurp_file("$ENV{READMODEL_HTTP_INSTALLED}/lib/systemd/system/readmodel-http.service");
my ($command) = $unit =~ /^ExecStart=\/bin\/sh -c '(.*)'$/m or BAIL_OUT('the unit has no command line that is known here');
is(() = $unit =~ /^Type=notify$/mg, 1, 'systemd is to be told when the service is ready');
my $settings = "$directory/readmodel-http.conf";
ok($command =~ s{exec \K/usr/local/bin/readmodel-http$}{$ENV{READMODEL_HTTP_PROGRAM}}, 'the unit starts the program');
cmp_ok($command =~ s{/etc/readmodel-http\.conf}{$settings}g, '>=', 2, 'with the file of settings, if it is there');
$command =~ s/\$\$/\$/g;

my ($addition) = slurp_file('../README.md') =~ /^```\n\[Service\]\n(LoadCredential=.*?)^```$/ms or BAIL_OUT('the README has no credential');
my ($credential) = $addition =~ m{^LoadCredential=(\w+):/} or BAIL_OUT('the credential has no name');
my ($variable, $value) = $addition =~ /^Environment=(\w+)=(.*)$/m or BAIL_OUT('the credential is given to nobody');
mkdir "$directory/credentials" or die "credentials: $!";
append_to_file("$directory/credentials/$credential", "sesame\n");
$value =~ s{%d}{$directory/credentials};

# The file that the project ships, with another database and port.
my $shipped = slurp_file("$ENV{READMODEL_HTTP_INSTALLED}/share/readmodel-http/readmodel-http.conf");
(my $escaped = $role) =~ s/\\/\\\\/g;
ok($shipped =~ s/^database = .*$/"database = " . $node->connstr('postgres') . " user='$escaped'"/me, 'the settings name a database');
ok($shipped =~ s/^port = .*$/port = 0/m, 'and a port');
ok($shipped =~ s/^log-format = .*$/log-format = json/m, 'and how to log');
append_to_file($settings, $shipped);

my $manager = ServiceManager->new;
sub told { my ($message) = @_; return $manager->told($message, $HttpService::limit) }

# --- the service ---

my $process = TestProcess->new(['/bin/sh', '-c', $command], $manager->environment,
    CREDENTIALS_DIRECTORY => "$directory/credentials", $variable => $value);
my $service = bless {process => $process}, 'HttpService';
ok(told('READY=1'), 'systemd is told that the service is ready') or diag($service->log);
ok($service->wait_log(qr/"listening on/), 'it listens');
($service->{port}) = $service->log =~ m{listening on http://127\.0\.0\.1:(\d+)};
ok(told('WATCHDOG=1'), 'and that it is alive');
my %bearer = (Authorization => 'Bearer sesame');
is($service->get('/queries')->{status}, 401, 'without the token there is no answer');
$service->wait_log(qr/connected to the database/);
is($service->get('/queries', %bearer)->{status}, 200, 'with that of the credential there is');
is($service->get('/queries/%22%0A%1B%5B31m%5C?limit="', %bearer)->{status}, 400, 'a name as bad as that is refused');
is($service->get('/queries/%22%0A%1B%5B31m%5C', %bearer)->{status}, 404, 'or not known');
$service->signal('TERM');
ok(told('STOPPING=1'), 'systemd is told that the service stops');
is($service->wait_end, 0, 'and it does: it is the very process that was started');

# --- logs ---

# A shell would keep such a variable to itself.
my $odd = HttpService->new($node, options => ['--log-format', 'json'], environment => {qq{READMODEL_HTTP_"ODD\\\n\x{1b}[31m} => 1});
is($odd->stop, 0, 'a service with an odd environment');
foreach my $log ($service->log, $odd->log)
{
    my @lines = split /\n/, $log;
    my @documents = map { eval { decode_json($_) } } @lines;
    is(scalar(grep { ref eq 'HASH' && defined $_->{message} } @documents), scalar(@lines), 'every line of the log is a document') or diag($log);
    unlike($log, qr/[\x00-\x09\x0b-\x1f\x7f]/, 'nothing in it controls a terminal');
}
is(scalar(grep { (decode_json($_)->{role} // '') eq $role } split /\n/, $service->log), 1, 'the name of a role is escaped');
is(scalar(grep { (decode_json($_)->{name} // '') eq 'READMODEL_HTTP_"ODD\\  [31m' } split /\n/, $odd->log), 1, 'so is that of a variable')
  or diag($odd->log);
$node->stop;
done_testing();
