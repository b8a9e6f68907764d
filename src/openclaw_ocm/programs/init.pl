#!/usr/bin/perl
# Runs a program as the second process of a sandbox: passes signals on, buries orphans, ends as it ended.
use strict;
use warnings;
use POSIX qw(:signal_h :sys_wait_h);
my @signals = qw(HUP INT QUIT TERM USR1 USR2 CONT WINCH);
# What comes while there is nobody to hear it waits, as what came before does if it was blocked. Not SIGHUP:
# that comes of a terminal whose owner ends, and is not meant for the program.
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGINT, SIGTERM));
my $child = fork() // die "fork: $!";
if (!$child) {
    # The leader of the session that owns the terminal stayed outside: without one Ctrl-C reaches nobody.
    # It ends about now or has let go of the terminal, which can be taken (TIOCSCTTY) once it did.
    if (-t STDIN) {
        POSIX::setsid();
        for (1 .. 200) { last if ioctl(STDIN, 0x540E, 0); select(undef, undef, undef, 0.01); }
    } else {
        # A signal to the group of what supervises the sandbox reaches the program once, from its init.
        setpgrp(0, 0);
    }
    # PIPE and XFSZ: what Python ignores stays ignored in all that it starts.
    $SIG{$_} = 'DEFAULT' for @signals, qw(PIPE XFSZ);
    sigprocmask(SIG_SETMASK, POSIX::SigSet->new());
    exec { $ARGV[0] } @ARGV;
    exit 127;
}
for my $name (@signals) {
    $SIG{$name} = sub { kill $name, $child };
}
$SIG{CHLD} = sub { };
# They come while it waits and at no other time: what comes between a look and wait(2) is heard after that.
my $all = POSIX::SigSet->new();
$all->fillset();
sigprocmask(SIG_BLOCK, $all);
while (1) {
    while ((my $ended = waitpid(-1, WNOHANG)) > 0) {
        next if $ended != $child;
        exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
    }
    sigsuspend(POSIX::SigSet->new());
}
