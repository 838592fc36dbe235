#!/usr/bin/perl
# http_get.pl URL: prints the status of the response.
use strict;
use warnings;
use HTTP::Tiny;

print HTTP::Tiny->new(timeout => 10)->get($ARGV[0])->{status}, "\n";
