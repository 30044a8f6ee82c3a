"""Errors to lines, JSON and exit codes; help."""

import pytest

from voicecore.cli import output
from voicecore.errors import (
    AuthError,
    Base64Error,
    ConfigurationError,
    ConnectionFailedError,
    ContainerError,
    DeadlineError,
    FormatError,
    RateLimitError,
)


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (ConfigurationError("x"), 2, False),
        (FormatError("x"), 2, False),
        (ContainerError("x"), 1, False),
        (Base64Error("x"), 3, False),
        (AuthError("x"), 3, False),
        (RateLimitError("x"), 3, True),
        (ConnectionFailedError("x"), 3, True),
        (DeadlineError("x", "connect", 1.0), 3, True),
        (OSError(28, "No space left on device"), 1, False),
    ],
)
def test_codes(capsys, error: Exception, code: int, retryable: bool) -> None:
    assert output.fail(error, as_json=False) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"error: {'x' if str(error) == 'x' else 'No space left on device'}\n")
    assert output.fail(error, as_json=True) == code
    assert f'"retryable": {str(retryable).lower()}' in capsys.readouterr().out


def test_an_interrupt_beats_everything_in_a_group() -> None:
    group = BaseExceptionGroup("", [ContainerError("x"), BaseExceptionGroup("", [KeyboardInterrupt()])])
    assert output.fail(group, as_json=False) == output.INTERRUPTED


def test_one_error_of_a_group(capsys) -> None:
    assert output.fail(ExceptionGroup("", [ExceptionGroup("", [AuthError("no")])]), as_json=False) == output.VENDOR
    assert capsys.readouterr().err == "error: no\n"


def test_a_bug_is_raised_again() -> None:
    with pytest.raises(ZeroDivisionError):
        output.fail(ZeroDivisionError(), as_json=False)


def test_notes_and_newlines_make_one_line(capsys) -> None:
    error = ContainerError("a\nb")
    error.add_note("c")
    output.fail(error, as_json=False)
    assert capsys.readouterr().err == "error: a b (c)\n"


@pytest.mark.parametrize("command", ["demo", "emulate", "say", "transcribe", "convert"])
def test_help_has_examples_exit_codes_and_no_key_option(cli, command: str) -> None:
    said = cli(command, "--help")
    assert said.code == 0
    assert "Examples" in said.out
    assert f"voicecore {command}" in said.out
    assert "Exit codes" in said.out
    assert "--json" in said.out
    assert "--key " not in said.out
    assert "--api-key" not in said.out


def test_help_and_version(cli) -> None:
    assert "transcribe" in cli("--help").out
    assert cli("--version").out.startswith("voicecore ")
    assert cli("nonsense").code == 2
    assert "Usage" in cli().out


@pytest.mark.parametrize("leaving", [SystemExit(4), GeneratorExit()])
def test_who_leaves_is_let_go(leaving: BaseException) -> None:
    with pytest.raises(type(leaving)):
        output.fail(leaving, as_json=False)


def test_a_reader_that_is_gone_is_a_failure_without_a_word(capsys) -> None:
    assert output.fail(BrokenPipeError(), as_json=False) == output.FAILED
    assert capsys.readouterr() == ("", "")


def test_a_usage_error_of_no_command_has_no_usage_to_show(capsys) -> None:
    assert output.fail(output._UsageError("no such thing"), as_json=False) == output.USAGE
    assert capsys.readouterr().err == "error: no such thing\n"
