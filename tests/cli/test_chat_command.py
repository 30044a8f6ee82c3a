"""`voicecore chat`: once, line by line, as JSON, and what it ends with, against the emulator as a process."""

import json
import os
import pty
import signal
import subprocess

import pytest
from cli_harness import TIMEOUT, Serving, command, environment, run

PHRASE = "What is the weather like in Paris this weekend?"
ANSWER = "It will be sunny in Paris this weekend."


def chat(url: str, *arguments: object, stdin: bytes = b"", key: str = "any-key-of-mine"):
    return run("chat", *arguments, "--url", url, stdin=stdin, SIXTY_DB_API_KEY=key)


def test_one_message(emulator: Serving) -> None:
    for options in ((), ("--whole",)):
        done = chat(emulator.llm, PHRASE, *options)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{ANSWER}\n".encode(), b"")


def test_a_message_from_stdin_as_json(emulator: Serving) -> None:
    done = chat(emulator.llm, "-", "--json", "--model", "mine", "--system", "Be brief.", stdin=b"one two\n")
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert (said["content"], said["model"], said["finish_reason"]) == ("You said: one two\n", "mine", "stop")
    assert said["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert said["tool_calls"] == []
    assert said["chat_id"]
    assert 0 < said["ttft"] <= said["duration"]


def test_every_line_is_a_turn(emulator: Serving) -> None:
    done = chat(emulator.llm, stdin=f"one\n\n{PHRASE}\n".encode())
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"You said: one\n{ANSWER}\n", b"")
    done = chat(emulator.llm, "--json", stdin=b"one\ntwo\n")
    turns = [json.loads(line) for line in done.stdout.splitlines()]
    assert [turn["content"] for turn in turns] == ["You said: one", "You said: two"]
    assert turns[1]["usage"]["prompt_tokens"] == 5  # "one", its answer and "two": the conversation is sent along


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "said"),
    [
        (("Hi",), {"SIXTY_DB_API_KEY": "bad-key"}, 3, "60db: HTTP 401: Invalid API key."),
        (("Hi", "--temperature", "9"), {}, 2, "temperature: expected 0 to 2, got 9.0"),
        (("Hi", "--vendor", "deepdub"), {}, 2, "vendor: expected 60db for chat, got 'deepdub'"),
        (("Hi",), {}, 2, "60db: no API key: pass api_key= or set the environment variable SIXTY_DB_API_KEY"),
    ],
)
def test_errors(emulator: Serving, arguments: tuple[str, ...], variables: dict[str, str], code: int, said: str) -> None:
    done = run("chat", *arguments, "--url", emulator.llm, **variables)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (code, b"", f"error: {said}\n")


def test_errors_as_json(emulator: Serving) -> None:
    done = chat(emulator.llm, "Hi", "--json", key="bad-key")
    error = {"type": "AuthError", "message": "60db: HTTP 401: Invalid API key.", "retryable": False}
    assert (done.returncode, json.loads(done.stdout)) == (3, {"error": error})


@pytest.mark.parametrize(
    ("flag", "code", "said"),
    [
        (("--no-credit",), 3, "HTTP 402"),
        (("--fault", "http=429"), 3, "HTTP 429"),
        (("--fault", "unended"), 3, "end mark"),
        (("--llm-token-seconds", "0.001"), 0, ""),
    ],
)
def test_the_emulators_flags(flag: tuple[str, ...], code: int, said: str) -> None:
    serving = Serving("--voice", "tone", "--ears", "none", *flag)
    try:
        done = chat(serving.llm, "one two")
    finally:
        serving.stop()
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert done.stdout.decode() == ("" if "HTTP" in said else "You said: one two\n")  # what came is shown


def test_the_emulators_script_from_a_file(tmp_path) -> None:
    script = [{"tool_calls": [{"name": "look", "arguments": {"at": "it"}}]}, {"fault": "http=402"}]
    (tmp_path / "script.json").write_text(json.dumps(script))
    serving = Serving("--voice", "tone", "--ears", "none", "--llm-script", str(tmp_path / "script.json"))
    try:
        first, second, third = (chat(serving.llm, "one two") for _ in range(3))
    finally:
        serving.stop()
    assert first.stdout.decode() == 'look({"at": "it"})\n'
    assert (second.returncode, "HTTP 402" in second.stderr.decode()) == (3, True)
    assert third.stdout.decode() == "You said: one two\n"


def test_a_script_that_is_none(tmp_path) -> None:
    (tmp_path / "script.json").write_text("{}")
    done = run("emulate", "--llm-script", str(tmp_path / "script.json"))
    expected = b"error: script: expected a list of turns, got dict\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", expected)


class AtTerminal:
    """`voicecore chat` whose stdin is a terminal."""

    def __init__(self, url: str) -> None:
        self.keyboard, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command("chat", "--url", url),
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(SIXTY_DB_API_KEY="any"),
        )
        os.close(terminal)
        assert self.process.stderr.read(2) == b"> "

    def type(self, text: str) -> None:
        os.write(self.keyboard, text.encode())

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=TIMEOUT)
        os.close(self.keyboard)
        return self.process.returncode, out.decode(), err.decode()


CTRL_D = "\x04"


def test_at_a_terminal_an_error_that_may_pass_does_not_end_the_conversation() -> None:
    serving = Serving("--voice", "tone", "--ears", "none", "--fault", "http=429")
    try:
        terminal = AtTerminal(serving.llm)
        terminal.type("one\n")
        terminal.type(CTRL_D)
        assert terminal.end() == (0, "", "error: 60db: HTTP 429: Too many requests.\n> ")
    finally:
        serving.stop()


def test_at_a_terminal_there_is_a_prompt(emulator: Serving) -> None:
    terminal = AtTerminal(emulator.llm)
    terminal.type("one\ntwo\n")
    terminal.type(CTRL_D)
    assert terminal.end() == (0, "You said: one\nYou said: two\n", "> > ")


def test_an_interrupt_ends_it_at_the_prompt(emulator: Serving) -> None:
    terminal = AtTerminal(emulator.llm)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == (130, "", "")
