#!/usr/bin/perl
# report.pl [FILE]: makes bench/report.html, with charts by gnuplot, from that file of bench/results, by default the newest one.
use strict;
use warnings;
use File::Basename qw(dirname basename);
use File::Temp qw(tempdir);
use JSON::PP;
use MIME::Base64 qw(encode_base64);

my $here = dirname(__FILE__);
my $from = $ARGV[0] // (sort glob "$here/results/*.json")[-1]
    // die "There are no figures in bench/results: \"make bench\" makes them.\n";
my $scratch = tempdir(CLEANUP => 1);

sub slurp
{
    my ($path) = @_;
    open my $in, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

sub html
{
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;');
    $text =~ s/([&<>"])/$entity{$1}/g;
    return $text;
}

sub shown
{
    my ($number) = @_;
    return '' if !defined $number;
    my $text = sprintf abs($number) >= 1000 ? '%.0f' : '%.4g', $number;
    1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
    return $text;
}

# --- charts -------------------------------------------------------------------------------------------------------------------

sub quoted
{
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

my @colours = ("#2f6b9a", "#c8553d", "#4f8a4c", "#8b6bb1", "#b58900", "#555555");

# Several series over the same numbers: one file of "x y" each.
sub lines_chart
{
    my ($chart) = @_;
    my ($file, @plots) = (0);
    for my $series (@{ $chart->{series} })
    {
        my $path = "$scratch/$chart->{id}." . $file;
        open my $out, '>', $path or die "$path: $!\n";
        print $out "$_->[0] $_->[1]\n" for @{ $series->{points} };
        close $out;
        my $style = @{ $series->{points} } > 30 ? 'lines lw 1.5' : 'linespoints lw 2 pt 7 ps 0.5';
        push @plots, quoted($path) . " with $style lc rgb '" . $colours[ $file % @colours ] . "' title " . quoted($series->{name});
        $file++;
    }
    my $log = join '', map { /^log([xy])$/ ? $1 : () } @{ $chart->{options} };
    return ($log ? "set logscale $log\n" : "set yrange [0:*]\n") . 'plot ' . join(', ', @plots) . "\n";
}

# Several series over the same names, side by side. Where a series has no bar for a name there is a gap.
sub bars_chart
{
    my ($chart) = @_;
    my (@names, %seen);
    for my $series (@{ $chart->{series} })
    {
        push @names, grep { !$seen{$_}++ } map { $_->[0] } @{ $series->{points} };
    }
    my $path = "$scratch/$chart->{id}";
    open my $out, '>:encoding(UTF-8)', $path or die "$path: $!\n";
    for my $name (@names)
    {
        my @values = map {
            my ($point) = grep { $_->[0] eq $name } @{ $_->{points} };
            $point ? $point->[1] : '-'
        } @{ $chart->{series} };
        print $out join("\t", $name, @values), "\n";
    }
    close $out;
    my @plots;
    for my $number (0 .. $#{ $chart->{series} })
    {
        push @plots, quoted($path) . ' using ' . ($number + 2) . ":xtic(1) lc rgb '" . $colours[ $number % @colours ] . "' title "
            . quoted($chart->{series}[$number]{name});
    }
    return "set datafile separator \"\\t\"\nset datafile missing '-'\nset style data histograms\nset style histogram clustered gap 1\n"
        . "set style fill solid 0.9 noborder\nset boxwidth 0.9\nset yrange [0:*]\nset xtics noenhanced nomirror "
        . (length("@names") > 60 ? 'rotate by -20' : '') . "\nplot " . join(', ', @plots) . "\n";
}

sub svg_of
{
    my ($chart) = @_;
    my $svg = "$scratch/$chart->{id}.svg";
    my $script = "$scratch/$chart->{id}.gp";
    open my $out, '>:encoding(UTF-8)', $script or die "$script: $!\n";
    print $out "set encoding utf8\nset terminal svg size 960,380 dynamic noenhanced font 'sans-serif,12' background 'white'\n",
        'set output ', quoted($svg), "\n", 'set xlabel ', quoted($chart->{xlabel}), "\nset ylabel ", quoted($chart->{ylabel}),
        "\nset grid ytics lc rgb '#dddddd'\nset border 3 lc rgb '#666666'\nset tics nomirror\nset key outside right top vertical Left reverse\n",
        "set format y '%.10g'\nset format x '%.10g'\n", $chart->{type} eq 'bars' ? bars_chart($chart) : lines_chart($chart);
    close $out;
    system('gnuplot', $script) == 0 or die "gnuplot failed on the chart \"$chart->{id}\"\n";
    return slurp($svg);
}

# --- the page -----------------------------------------------------------------------------------------------------------------

my $run = decode_json(slurp($from));
for my $member (qw(at machine versions settings suites))
{
    die "$from has no \"$member\": it is not a file of \"make bench\", or of an older one\n" if !exists $run->{$member};
}

sub facts
{
    my ($title, $facts) = @_;
    return "<table class=\"facts\"><caption>$title</caption>\n"
        . join('', map { '<tr><th>' . html($_) . '</th><td>' . html($facts->{$_} // '') . "</td></tr>\n" } sort keys %$facts) . "</table>\n";
}

my $body = '';
my ($met, $missed) = (0, 0);
for my $suite (@{ $run->{suites} })
{
    $body .= "<h2 id=\"suite$suite->{suite}\">$suite->{suite}. " . html($suite->{title}) . "</h2>\n<table class=\"rows\">\n"
        . "<tr><th>figure</th><th>measured</th><th>baseline</th><th>of baseline</th><th>ratio</th><th>target</th><th></th></tr>\n";
    for my $row (@{ $suite->{rows} })
    {
        my $verdict = !defined $row->{met} ? '' : $row->{met} ? 'met' : 'missed';
        $met++ if $verdict eq 'met';
        $missed++ if $verdict eq 'missed';
        my $measured = defined $row->{value} ? shown($row->{value}) . ' ' . html($row->{unit}) : 'not available in this build';
        $body .= '<tr><td>' . html($row->{figure}) . "</td><td class=\"n\">$measured</td><td>" . html($row->{baseline_name} // '')
            . '</td><td class="n">' . shown($row->{baseline}) . '</td><td class="n">' . shown($row->{ratio}) . '</td><td>'
            . html($row->{target} // '') . "</td><td class=\"$verdict\">$verdict</td></tr>\n";
    }
    $body .= "</table>\n";
    for my $chart (@{ $suite->{charts} })
    {
        next if !grep { @{ $_->{points} } } @{ $chart->{series} };
        my $image = encode_base64(svg_of($chart), '');
        $body .= '<figure><figcaption>' . html($chart->{title}) . '</figcaption><img alt="' . html($chart->{title})
            . "\" src=\"data:image/svg+xml;base64,$image\"></figure>\n";
    }
}

my $quick = $run->{quick} ? "<p class=\"quick\">A quick run with tiny sizes: these figures only show that everything works.</p>\n" : '';
my $contents = join ' ', map { "<a href=\"#suite$_->{suite}\">$_->{suite}</a>" } @{ $run->{suites} };
my $facts = facts('Machine', $run->{machine}) . facts('Versions', $run->{versions}) . facts('Settings', $run->{settings});
my $page = <<"HTML";
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>pg_readmodel: benchmark</title>
<style>
body { font: 15px/1.45 sans-serif; color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 2.2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; }
table.rows { width: 100%; }
td, th { padding: 3px 10px; border-bottom: 1px solid #e4e4e4; text-align: left; vertical-align: top; }
td.n { text-align: right; white-space: nowrap; }
td.met { color: #2c7a2c; }
td.missed { color: #b3261e; font-weight: bold; }
p.quick { background: #fff3cd; padding: .6em 1em; }
figure { margin: 1.2em 0; }
figcaption { font-weight: bold; margin-bottom: .3em; }
img { max-width: 100%; }
.all { display: flex; flex-wrap: wrap; gap: 2em; font-size: 13px; align-items: flex-start; }
caption { text-align: left; font-weight: bold; }
</style>
</head>
<body>
<h1>pg_readmodel: benchmark</h1>
<p>Run of @{[html($run->{at})]}, $met targets met, $missed missed. Each ratio is against a baseline of the same run, and only ratios carry
over to another machine. What each suite measures, and how, is told in README.md beside this file. Suites: $contents</p>
$quick$body
<h2>The run</h2>
<div class="all">
$facts</div>
</body>
</html>
HTML
open my $out, '>:encoding(UTF-8)', "$here/report.html.new" or die "$here/report.html.new: $!\n";
print $out $page;
close $out or die "$here/report.html.new: $!\n";
rename "$here/report.html.new", "$here/report.html" or die "$here/report.html: $!\n";
print 'Made bench/report.html from bench/results/', basename($from), "\n";
