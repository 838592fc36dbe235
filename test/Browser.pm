# A headless Chromium, driven by chromedriver (W3C WebDriver over HTTP; Debian packages chromium and chromium-driver).
#
# Waits are for conditions, with a limit. What the page wrote to the console, each request that it made, and each violation of its
# content security policy are kept, to be asked for at the end. It ends with the test.
package Browser;

use strict;
use warnings;
use Encode ();
use File::Path qw(make_path);
use File::Temp;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use TestProcess;

my $json = JSON::PP->new->utf8->allow_nonref;

sub find_program
{
    my (@names) = @_;
    foreach my $name (@names)
    {
        foreach my $directory (split(/:/, $ENV{PATH} // ''), '/usr/bin')
        {
            return "$directory/$name" if -x "$directory/$name";
        }
    }
    return;
}

# Whether there is a browser here at all.
sub available
{
    return find_program('chromedriver') && find_program('chromium', 'google-chrome', 'chromium-browser');
}

sub new
{
    my ($class, %options) = @_;
    my $home = File::Temp->newdir('readmodel-browser-XXXXXX', TMPDIR => 1);
    my $limit = $options{limit} // 60 * $PostgreSQL::Test::Utils::timeout_default / 180;
    my $self = bless {home => $home, http => HTTP::Tiny->new(timeout => $limit), limit => $limit}, $class;

    # The same font on every machine: screenshots are compared by eye.
    make_path("$home/cache", "$home/profile");
    open my $conf, '>', "$home/fonts.conf" or die "fonts.conf: $!";
    print {$conf} <<"END";
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <cachedir>$home/cache</cachedir>
  <alias binding="same"><family>system-ui</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias binding="same"><family>ui-monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
END
    close $conf;
    my %environment = (FONTCONFIG_FILE => "$home/fonts.conf", HOME => "$home");
    $environment{TZ} = $options{timezone} if defined $options{timezone};
    $self->{driver} = TestProcess->new([find_program('chromedriver'), '--port=0'], %environment);
    my $started = qr/started successfully on port (\d+)/;
    $self->{driver}->wait_log($started, $self->{limit}) or die 'chromedriver does not start: ' . $self->{driver}->log;
    my ($port) = $self->{driver}->log =~ $started;
    $self->{base} = "http://127.0.0.1:$port";

    # The sandbox needs user namespaces or another user than root, and the pages are ours.
    my $session = $self->call(POST => '/session', {
        capabilities => {
            alwaysMatch => {
                browserName => 'chrome',
                'goog:loggingPrefs' => {browser => 'ALL', performance => 'ALL'},
                'goog:chromeOptions' => {
                    binary => find_program('chromium', 'google-chrome', 'chromium-browser'),
                    args => ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars', '--lang=en-GB',
                        '--no-first-run', '--disable-background-networking', '--disable-component-update', '--force-color-profile=srgb',
                        "--user-data-dir=$home/profile"]}}}});
    $self->{session} = "/session/$session->{sessionId}";
    $self->viewport(1280, 800);
    $self->cdp('Page.addScriptToEvaluateOnNewDocument', {source =>
        'addEventListener("securitypolicyviolation", e => { (window.violations ??= []).push(e.violatedDirective + " " + e.blockedURI); });'});
    return $self;
}

sub call
{
    my ($self, $method, $path, $body) = @_;
    my %request = (headers => {'Content-Type' => 'application/json'});
    $request{content} = $json->encode($body // {}) if $method eq 'POST';
    my $response = $self->{http}->request($method, "$self->{base}$path", \%request);
    my $answer = eval { $json->decode($response->{content}) };
    die "$method $path: $response->{status} " . ($answer->{value}{message} // $response->{content}) . "\n" unless $response->{success};
    return $answer->{value};
}

sub command
{
    my ($self, $method, $path, $body) = @_;
    return $self->call($method, "$self->{session}$path", $body);
}

# Of Chromium's own protocol, for what WebDriver has no word for.
sub cdp
{
    my ($self, $name, $parameters) = @_;
    return $self->command(POST => '/goog/cdp/execute', {cmd => $name, params => $parameters // {}});
}

sub go
{
    my ($self, $url) = @_;
    $self->command(POST => '/url', {url => $url});
    return;
}

sub viewport
{
    my ($self, $width, $height, $scale) = @_;
    $self->cdp('Emulation.setDeviceMetricsOverride', {width => $width, height => $height, deviceScaleFactor => $scale // 1,
        mobile => $width < 600 ? JSON::PP::true : JSON::PP::false});
    return;
}

# media(scheme => 'dark', 'reduced-motion' => 'reduce')
sub media
{
    my ($self, %features) = @_;
    $self->cdp('Emulation.setEmulatedMedia',
        {features => [map { {name => "prefers-$_", value => $features{$_}} } sort keys %features]});
    return;
}

# The value of an expression of JavaScript; its arguments are in the array "arguments".
sub value
{
    my ($self, $expression, @arguments) = @_;
    return $self->command(POST => '/execute/sync', {script => "return ($expression);", args => \@arguments});
}

sub text
{
    my ($self, $selector) = @_;
    return $self->value('document.querySelector(arguments[0])?.innerText', $selector);
}

# Waits until the expression is true; false, with what it last was, when the limit has passed.
sub wait_for
{
    my ($self, $expression, @arguments) = @_;
    my $limit = time + $self->{limit};
    while (1)
    {
        return 1 if $self->value($expression, @arguments);
        return 0 if time > $limit;
        sleep 0.05;
    }
}

my %key = (Enter => "\x{E007}", Tab => "\x{E004}", Escape => "\x{E00C}", ArrowUp => "\x{E013}", ArrowDown => "\x{E015}", End => "\x{E010}",
    Home => "\x{E011}", Shift => "\x{E008}");

# Real key strokes at what has the focus: names as above, or single characters.
sub press
{
    my ($self, @names) = @_;
    foreach my $name (@names)
    {
        my $stroke = $key{$name} // $name;
        $self->command(POST => '/actions', {actions => [{type => 'key', id => 'keyboard',
            actions => [{type => 'keyDown', value => $stroke}, {type => 'keyUp', value => $stroke}]}]});
    }
    return;
}

sub type
{
    my ($self, $text) = @_;
    $self->press(split //, $text);
    return;
}

sub screenshot
{
    my ($self, $file) = @_;
    my $png = decode_base64($self->command(GET => '/screenshot'));
    open my $out, '>:raw', $file or die "$file: $!";
    print {$out} $png;
    close $out or die "$file: $!";
    return length $png;
}

# The whole accessibility tree as [role, name, properties], without what is ignored.
sub accessibility_tree
{
    my ($self) = @_;
    my $tree = $self->cdp('Accessibility.getFullAXTree');
    return map {
        my %properties = map { $_->{name} => $_->{value}{value} } @{$_->{properties} // []};
        [$_->{role}{value} // '', $_->{name}{value} // '', \%properties, $_->{value}{value}]
    } grep { !$_->{ignored} } @{$tree->{nodes}};
}

# What was written to the console since the last time, at the levels WARNING and above.
sub console
{
    my ($self) = @_;
    return map { "$_->{level} $_->{message}" } grep { $_->{level} =~ /WARNING|SEVERE/ } @{$self->command(POST => '/se/log', {type => 'browser'})};
}

# The addresses that were asked for since the last time.
sub requests
{
    my ($self) = @_;
    my @found;
    foreach my $entry (@{$self->command(POST => '/se/log', {type => 'performance'})})
    {
        my $message = $json->decode(Encode::encode('UTF-8', $entry->{message}))->{message};
        push @found, $message->{params}{request}{url} if $message->{method} eq 'Network.requestWillBeSent';
    }
    return @found;
}

sub quit
{
    my ($self) = @_;
    $self->command(DELETE => '');
    $self->{driver}->stop($self->{limit});
    return;
}

1;
