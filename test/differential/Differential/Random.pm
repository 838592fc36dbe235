# Choices that a seed decides, and JSON as text: numbers need every digit, so no Perl value stands in for them.
package Differential::Random;

use strict;
use warnings;
use utf8;
use Exporter 'import';

our @EXPORT = qw(pick chance between weighted text_json number_json object_json list_json shuffled);

sub pick { return $_[int(rand(scalar @_))] }
sub chance { return rand() < $_[0] }
sub between { my ($low, $high) = @_; return $low + int(rand($high - $low + 1)) }

# weighted(weight => choice, ..): a choice that is code is called.
sub weighted
{
    my @choices = @_;
    my $sum = 0;
    for (my $i = 0; $i < @choices; $i += 2) { $sum += $choices[$i] }
    my $at = rand($sum);
    for (my $i = 0; $i < @choices; $i += 2)
    {
        $at -= $choices[$i];
        next if $at >= 0 && $i < @choices - 2;
        return ref $choices[$i + 1] eq 'CODE' ? $choices[$i + 1]->() : $choices[$i + 1];
    }
    return;
}

sub shuffled
{
    my @list = @_;
    for (my $i = $#list; $i > 0; $i--)
    {
        my $j = int(rand($i + 1));
        @list[$i, $j] = @list[$j, $i];
    }
    return @list;
}

sub escape
{
    my ($character) = @_;
    my $code = ord $character;
    return sprintf('\\u%04x', $code) if $code < 0x10000;
    return sprintf('\\u%04x\\u%04x', 0xd800 + (($code - 0x10000) >> 10), 0xdc00 + (($code - 0x10000) & 0x3ff));
}

# Now and then written with escapes that are not needed.
sub text_json
{
    my ($text) = @_;
    my $escaped = $text =~ s/(["\\])/\\$1/gr;
    $escaped =~ s/([\x01-\x1f])/escape($1)/ge;
    $escaped =~ s/([^\x01-\x7f])/chance(0.2) ? escape($1) : $1/ge;
    return "\"$escaped\"";
}

sub object_json
{
    my @members = @_;    # name, JSON, ..
    my @texts;
    while (my ($name, $value) = splice(@members, 0, 2)) { push @texts, text_json($name) . ': ' . $value }
    return '{' . join(', ', @texts) . '}';
}

sub list_json { return '[' . join(', ', @_) . ']' }

sub digits { my ($count) = @_; return between(1, 9) . join('', map { between(0, 9) } 2 .. $count) }

# Small ones that meet again, also with other digits; and, unless they are plain, the edges: scales, exponents, more than 64 and more
# than 128 bits, zeros of every kind. One of these is the largest of all, so the small ones need logs of their own.
our $plain = 0;

sub number_json
{
    my $sign = chance(0.3) ? '-' : '';
    return $sign . between(0, 4) . pick('', '', '', '.0', '.00', '.5', '.50', 'e0', '.10e1') if $plain || chance(0.4);
    return weighted(
        5 => sub { $sign . between(0, 5) },
        15 => sub { $sign . between(0, 20) . '.' . pick(qw(0 5 50 00 25 125 1)) },
        10 => sub { $sign . between(0, 999) . '.' . sprintf('%02d', between(0, 99)) },
        4 => sub { $sign . pick(qw(0 0.0 0.000 0e0 0e-3 0E5)) },
        6 => sub { $sign . pick(qw(1e2 1e3 1.5e1 2.50e-3 1E-7 5e+2 12.340e2 1e18 1e-18 9.99e0 7e-1)) },
        4 => sub { $sign . pick(qw(9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 4294967296 2147483647)) },
        4 => sub { $sign . pick(qw(170141183460469231731687303715884105727 170141183460469231731687303715884105728
                340282366920938463463374607431768211455 340282366920938463463374607431768211456 99999999999999999999999999999999999999
                100000000000000000000000000000000000000)) },
        3 => sub { $sign . digits(between(19, 60)) },
        3 => sub { $sign . digits(between(1, 20)) . '.' . digits(between(1, 45)) },
        2 => sub { $sign . '0.' . ('0' x between(1, 40)) . digits(between(1, 10)) },
        1 => sub { $sign . digits(2) . 'e' . pick(40, 77, -50, 120, -90, 300) });
}

1;
