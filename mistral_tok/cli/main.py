"""Entry point: signals, errors as one line, exit codes (0 done, 1 bad data, 2 bad usage)."""

from __future__ import annotations

import signal
import sys

EXIT_DATA = 1
EXIT_USAGE = 2
EXIT_INTERRUPT = 128 + signal.SIGINT


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `mistral-tok … | head` ends like any other filter
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPT
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; an error is one line on standard error, never a traceback."""
    import click

    from mistral_tok.cli.app import app
    from mistral_tok.errors import MistralTokError

    try:
        with app.make_context("mistral-tok", list(arguments)) as context:
            app.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else error.format_message())
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "mistral-tok"
        return _fail(f"{error.format_message()} Try '{where} --help'.", EXIT_USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_DATA)
    except click.Abort:
        raise KeyboardInterrupt from None
    except UnicodeDecodeError as error:
        return _fail(f"not UTF-8 at byte {error.start}: {error.reason}", EXIT_DATA)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), EXIT_DATA)
    except (MistralTokError, ValueError, TypeError, KeyError) as error:
        return _fail(str(error), EXIT_DATA)
    return 0


def _fail(message: str, code: int) -> int:
    import click

    one_line = " ".join(message.split())
    click.echo(f"{click.style('mistral-tok: error:', fg='red')} {one_line}", err=True)
    return code
