"""What every command says, and how: exit codes, errors as one line or one JSON object, help texts.

Results go to stdout, progress and errors to stderr; with `--json` an error goes to stdout too, as JSON, unless
stdout carries audio.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any

import typer

from voicecore.errors import (
    Base64Error,
    CodecError,
    ConfigurationError,
    FormatError,
    MessageError,
    StateError,
    VoicecoreError,
)

OK, FAILED, USAGE, VENDOR, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = (
    "[bold]Exit codes[/bold]  0 ok · 1 failed, or the result does not match · 2 usage or configuration, such as a "
    "missing key · 3 vendor or network · 130 interrupted"
)

# typer keeps click to itself, but its public BadParameter is click's.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def epilog(*examples: tuple[str, str], after: str = EXIT_CODES) -> str:
    """The examples below a command's help: command lines, each with an optional remark."""
    lines = [f"  [cyan]{line}[/cyan]" + (f"  [dim]# {remark}[/dim]" if remark else "") for line, remark in examples]
    return "\n\n".join(["[bold]Examples[/bold]", *lines, after])


_stdout_is_audio = False  # the process has one stdout: what it carries is state of the process


def stdout_is_audio(carries: bool = True) -> None:
    """Says that samples go to stdout, so that JSON goes to stderr."""
    global _stdout_is_audio
    _stdout_is_audio = carries


def print_json(value: Any) -> None:
    """One line of JSON, at once."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    print(line, file=sys.stderr if _stdout_is_audio else sys.stdout, flush=True)


def note(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def fail(error: BaseException, *, as_json: bool) -> int:
    """Reports `error` and gives its exit code. Raises what is no error of the user, the machine or a vendor."""
    alone = the_one(error)
    match alone:
        case SystemExit() | GeneratorExit():
            raise alone
        case KeyboardInterrupt():
            return INTERRUPTED
        case BrokenPipeError() if not isinstance(alone, VoicecoreError):
            _give_up_stdout()
            return FAILED
        case VoicecoreError() | OSError():
            _report(type(alone).__name__, _words(alone), as_json, retryable=getattr(alone, "retryable", False))
            return _exit_code(alone)
        case _UsageError():
            return _usage(alone, as_json)
    raise error


def the_one(error: BaseException) -> BaseException:
    """The error that matters of a nursery's group: an interrupt before anything else, else the first."""
    while isinstance(error, BaseExceptionGroup):
        interrupted = error.subgroup(KeyboardInterrupt)
        known = interrupted or error.subgroup((VoicecoreError, OSError)) or error
        error = known.exceptions[0]
    return error


def _exit_code(error: BaseException) -> int:
    from voicecore.emulator.worker import EngineError  # only once something failed

    match error:
        case EngineError():
            return FAILED
        case ConfigurationError() | FormatError() | StateError():
            return USAGE
        case Base64Error() | MessageError():
            return VENDOR  # only a vendor's messages hold base64 or JSON
        case CodecError():
            return FAILED
        case VoicecoreError():
            return VENDOR
    return FAILED


def _words(error: BaseException) -> str:
    """The message with the notes that were added on its way, as one line."""
    said = str(error)
    if isinstance(error, OSError) and not isinstance(error, VoicecoreError) and error.strerror:
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    notes = [f"({note})" for note in getattr(error, "__notes__", ())]
    return " ".join([said or type(error).__name__, *notes]).replace("\n", " ")


def _report(kind: str, message: str, as_json: bool, *, retryable: bool) -> None:
    if as_json:
        print_json({"error": {"type": kind, "message": message, "retryable": retryable}})
    else:
        note(f"error: {message}")


def _usage(error: Any, as_json: bool) -> int:
    """What typer found wrong with the arguments."""
    context = error.ctx
    if as_json:
        _report("UsageError", error.format_message(), as_json, retryable=False)
    elif not error.format_message():  # no command at all
        print(context.get_help() if context else "")  # with rich it prints by itself, and gives nothing
    else:
        if context is not None:
            note(context.get_usage())
        note(f"error: {error.format_message()}")
        if context is not None:
            note(f"Try '{context.command_path} --help'.")
    return USAGE


def _give_up_stdout() -> None:
    """Nobody reads stdout any more: what is still buffered must not fail at the interpreter's exit."""
    with suppress(OSError, ValueError):  # stdout may be no file, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
