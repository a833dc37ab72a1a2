"""A yes or no from whoever sits at the terminal; one Ctrl-C ends the question."""

import select
import signal
import socket
import sys

import click

_YES, _NO = frozenset(("y", "yes")), frozenset(("", "n", "no"))


def confirm(question: str) -> None:
    """Return when the answer is yes. Raises Abort on no, at the end of input, and on Ctrl-C.

    A signal that comes before the read has begun would be seen by nobody until the next one comes:
    the read is only begun once a line is there, and what waits for that is woken by signals too.
    """
    try:
        while True:
            click.echo(f"{question} [y/N]: ", nl=False)
            line = _read_input_line()
            answer = line.strip().lower()
            if answer in _YES:
                return
            if answer in _NO:
                raise click.Abort
            click.echo("Error: invalid input")
    except KeyboardInterrupt:
        click.echo(err=True)
        raise click.Abort from None


def _read_input_line() -> str:
    """One line of standard input; empty at its end."""
    ours, woken = socket.socketpair()
    with ours, woken:
        # Python asks for it: a signal's handler must never wait for room in a socket.
        woken.setblocking(False)
        before = signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        try:
            while True:
                found, _, _ = select.select([sys.stdin, ours], [], [])
                # A handler that raises has done so by now; any other signal is no answer.
                if sys.stdin in found:
                    return sys.stdin.readline()
                ours.recv(64)
        finally:
            signal.set_wakeup_fd(before)
