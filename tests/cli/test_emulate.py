"""`voicecore emulate` as a process: the ready line, the way it ends, keys; `say` and `transcribe` against it."""

import json
import os
import signal
import socket
import struct
import subprocess
import wave
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli_harness import TIMEOUT, Serving, children, command, environment, run, tone

from voicecore.audio import AudioFormat
from voicecore.cli.wavfile import AudioWriter, InputReader

PHRASE = "Please hold while I look up your account."
FOREVER = ("--pace", "0.01", "--chunk-seconds", "0.05")  # the second chunk of speech comes after 5 s


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- emulate ---------------------------------------------------------------------------------------------


def test_ready_line(emulator: Serving) -> None:
    assert emulator.ready["ready"] is True
    port = emulator.tts.split(":")[2].split("/")[0]
    assert emulator.ready["urls"]["deepdub-open"] == f"ws://127.0.0.1:{port}/open"
    assert emulator.ready["urls"]["60db-stt"] == f"ws://127.0.0.1:{port}/ws/stt"
    assert emulator.ready["urls"]["uplift"] == f"ws://127.0.0.1:{port}/v1/text-to-speech/multi-stream"
    assert emulator.ready["urls"]["uplift-socketio"] == f"ws://127.0.0.1:{port}/socket.io/"
    assert emulator.llm == f"http://127.0.0.1:{port}/v1/chat/completions"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_while_a_client_is_connected(number: signal.Signals) -> None:
    serving = Serving(*FOREVER)
    with subprocess.Popen(
        command("say", PHRASE, "--vendor", "deepdub", "--url", serving.tts, "--out", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(DEEPDUB_API_KEY="any"),
    ) as client:
        assert client.stdout.read(100)  # it is speaking
        workers = children(serving.process.pid)
        assert workers
        assert serving.stop(number) == (0, b"", b"")
        assert all(map(is_gone, workers))
        _, said = client.communicate(timeout=TIMEOUT)
        assert client.returncode == 3
        assert said.startswith(b"error: deepdub: ")
        assert said.count(b"\n") == 1


def test_ctrl_c_in_a_terminal_reaches_the_whole_group() -> None:
    serving = Serving()
    workers = children(serving.process.pid)
    os.killpg(serving.process.pid, signal.SIGINT)
    out, err = serving.process.communicate(timeout=TIMEOUT)
    assert (serving.process.returncode, out, err) == (0, b"", b"")
    assert all(map(is_gone, workers))


@pytest.mark.parametrize("path", ["/open?x-api-key=any", "/open?x-api-key=bad", "/ws/stt?apiKey=any", "/nothing"])
def test_a_client_that_resets_its_connection_harms_nobody(emulator: Serving, path: str) -> None:
    address = urlsplit(emulator.tts)
    fields = ("Host: x", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    head = "\r\n".join([f"GET {path} HTTP/1.1", *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""])
    for _ in range(3):
        with socket.create_connection((address.hostname, address.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
            client.sendall(head.encode())
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert emulator.process.poll() is None


def test_a_key_of_its_own(tmp_path: Path) -> None:
    serving = Serving("--key-env", "MY_KEY", MY_KEY="bad-but-mine")
    arguments = ("say", "Hi.", "--vendor", "deepdub", "--url", serving.tts, "--out", tmp_path / "a.wav")
    assert run(*arguments, DEEPDUB_API_KEY="bad-but-mine").returncode == 0
    assert run(*arguments, DEEPDUB_API_KEY="another-key").returncode == 3
    code, out, err = serving.stop()
    assert code == 0
    assert b"bad-but-mine" not in out + err


def test_the_banner(emulator: Serving) -> None:
    process = subprocess.Popen(
        command("emulate", "--port", 0, "--voice", "tone", "--ears", "none"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    with process:
        lines = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=TIMEOUT) == 0
    text = "".join(lines)
    for words in ("tone", "none", 'does not begin with "bad"', "deepdub-open", "60db-stt", "ws://127.0.0.1:"):
        assert words in text


def test_a_port_in_use(emulator: Serving) -> None:
    port = emulator.tts.split(":")[2].split("/")[0]
    done = run("emulate", "--port", port, "--voice", "tone", "--ears", "none", "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "ConnectionFailedError"
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in error["message"]


def test_a_key_variable_that_is_not_set() -> None:
    done = run("emulate", "--key-env", "NO_SUCH_VARIABLE")
    assert done.returncode == 2
    assert b"NO_SUCH_VARIABLE" in done.stderr


# --- say and transcribe ----------------------------------------------------------------------------------


def test_there_and_back(emulator: Serving, tmp_path: Path) -> None:
    wav = tmp_path / "said.wav"
    said = run(
        "say", PHRASE, "--vendor", "deepdub", "--url", emulator.tts, "--out", wav, "--json", DEEPDUB_API_KEY="k.1"
    )
    assert said.returncode == 0, said.stderr
    numbers = json.loads(said.stdout)
    with wave.open(str(wav)) as reader:
        assert reader.getframerate() == 24_000
        assert reader.getnframes() / 24_000 == pytest.approx(numbers["audio_seconds"], abs=1e-6)
    assert 1.0 < numbers["audio_seconds"] < 10.0
    assert numbers["ttfb"] > 0

    heard = run("transcribe", wav, "--vendor", "60db", "--url", emulator.stt, SIXTY_DB_API_KEY="k.2")
    assert (heard.returncode, heard.stdout.decode()) == (0, PHRASE + "\n"), heard.stderr


def test_60db_says_it_whatever_the_emulator_is_told(tmp_path: Path) -> None:
    switches = ("--envelope", "boolean", "--context-ids", "left-out", "--tts-connecting", "--closes-after", "any")
    serving = Serving("--voice", "tone", "--ears", "none", *switches)
    url = serving.ready["urls"]["60db-tts"]
    assert url.endswith("/ws/tts")
    options = ("--vendor", "60db", "--url", url, "--rate", 8000, "--encoding", "mulaw", "--out", tmp_path / "said.wav")
    said = run("say", PHRASE, *options, "--json", SIXTY_DB_API_KEY="k.1")
    assert said.returncode == 0, said.stderr
    numbers = json.loads(said.stdout)
    assert (numbers["vendor"], numbers["encoding"], numbers["sample_rate"]) == ("60db", "mulaw", 8000)
    assert 1.0 < numbers["audio_seconds"] < 10.0
    assert serving.stop()[0] == 0


def test_there_and_back_with_vachana(emulator: Serving, tmp_path: Path) -> None:
    urls, wav = emulator.ready["urls"], tmp_path / "said.wav"
    for rate, encoding in ((24_000, "pcm_s16le"), (8_000, "mulaw")):
        options = ("--rate", rate, "--encoding", encoding, "--out", wav)
        said = run("say", PHRASE, "--vendor", "vachana", "--url", urls["vachana-tts"], *options, VACHANA_API_KEY="k.1")
        assert said.returncode == 0, said.stderr
        options = ("--vendor", "vachana", "--url", urls["vachana-stt"], "--language", "en-IN", "--language", "hi-IN")
        heard = run("transcribe", wav, *options, VACHANA_API_KEY="k.2")
        assert (heard.returncode, heard.stdout.decode()) == (0, PHRASE + "\n"), heard.stderr


def test_every_switch_of_vachana(tmp_path: Path) -> None:
    """The form, the end, the headers and the splits change nothing of the audio."""
    audio = set()
    for switches in (
        (),
        ("--vachana-wav", "first-chunk", "--vachana-end", "complete-and-close"),
        ("--vachana-form", "binary", "--vachana-end", "close", "--vachana-wav", "header-first", "--vachana-odd-splits"),
    ):
        serving = Serving("--voice", "tone", "--ears", "none", *switches)
        options = ("--vendor", "vachana", "--url", serving.ready["urls"]["vachana-tts"], "--out", "-")
        said = run("say", PHRASE, *options, VACHANA_API_KEY="k.1")
        assert said.returncode == 0, said.stderr
        audio.add(said.stdout)
        assert serving.stop()[0] == 0
    assert len(audio) == 1 and len(audio.pop()) > 24_000


def test_json_audio_that_a_close_cuts_short_is_an_error(tmp_path: Path) -> None:
    serving = Serving("--voice", "tone", "--ears", "none", "--vachana-end", "close")
    options = ("--vendor", "vachana", "--url", serving.ready["urls"]["vachana-tts"], "--out", tmp_path / "a.wav")
    said = run("say", PHRASE, *options, "--json", VACHANA_API_KEY="k.1")
    assert said.returncode == 3
    assert json.loads(said.stdout)["error"]["type"] == "ConnectionLostError"
    assert serving.stop()[0] == 0


@pytest.mark.parametrize("transport", ["uplift", "uplift-socketio"])
def test_uplift_on_both_transports(emulator: Serving, tmp_path: Path, transport: str) -> None:
    wav = tmp_path / "said.wav"
    options = ("--vendor", "uplift", "--url", emulator.ready["urls"][transport], "--out", wav)
    said = run("say", PHRASE, *options, "--json", UPLIFTAI_API_KEY="k.1")
    assert said.returncode == 0, said.stderr
    assert 1.0 < json.loads(said.stdout)["audio_seconds"] < 10.0
    heard = run("transcribe", wav, "--vendor", "60db", "--url", emulator.stt, SIXTY_DB_API_KEY="k.2")
    assert (heard.returncode, heard.stdout.decode()) == (0, PHRASE + "\n"), heard.stderr


def test_uplifts_switches(tmp_path: Path) -> None:
    switches = ("--uplift-unknown-voice", "error", "--uplift-after-cancel", "audio")
    serving = Serving("--voice", "tone", "--ears", "none", *switches)
    url = serving.ready["urls"]["uplift"]
    options = ("--vendor", "uplift", "--voice", "v_nobody", "--url", url, "--out", tmp_path / "a.wav")
    done = run("say", "Hi.", *options, "--json", UPLIFTAI_API_KEY="k.1")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["type"] == "VendorUnavailableError"
    assert serving.stop()[0] == 0


def test_text_from_stdin_as_mulaw_through_pipes(emulator: Serving) -> None:
    options = ("--vendor", "deepdub", "--url", emulator.tts, "--rate", 8000, "--encoding", "mulaw", "--out", "-")
    said = run("say", "-", *options, "--json", stdin=PHRASE.encode(), DEEPDUB_API_KEY="k.1")
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stderr)["audio_seconds"] == pytest.approx(len(said.stdout) / 8000)

    options = ("--vendor", "60db", "--url", emulator.stt, "--rate", 8000, "--encoding", "mulaw", "--language", "en")
    heard = run("transcribe", "-", *options, "--interim", "--json", stdin=said.stdout, SIXTY_DB_API_KEY="k.2")
    assert heard.returncode == 0, heard.stderr
    *transcripts, end = map(json.loads, heard.stdout.splitlines())
    assert {transcript["type"] for transcript in transcripts} == {"transcript"}
    assert [t["text"] for t in transcripts if t["is_final"]] == [PHRASE]
    assert end["type"] == "end"
    assert end["text"] == PHRASE
    assert end["in"]["encoding"] == "mulaw"


def test_interrupting_say() -> None:
    serving = Serving(*FOREVER)
    with subprocess.Popen(
        command("say", PHRASE, "--vendor", "deepdub", "--url", serving.tts, "--out", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(DEEPDUB_API_KEY="any"),
    ) as client:
        assert client.stdout.read(100)
        client.send_signal(signal.SIGINT)
        _, err = client.communicate(timeout=TIMEOUT)
        assert (client.returncode, err) == (130, b"")
    assert serving.stop() == (0, b"", b"")


def test_interrupting_transcribe_that_waits_for_stdin(emulator: Serving) -> None:
    options = ("--vendor", "60db", "--url", emulator.stt, "--rate", 16_000, "--interim")
    with subprocess.Popen(
        command("transcribe", "-", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(SIXTY_DB_API_KEY="any"),
    ) as client:
        said = run("say", PHRASE, "--vendor", "deepdub", "--url", emulator.tts, "--rate", 16_000, "--out", "-",
                   DEEPDUB_API_KEY="k.1")  # fmt: skip
        client.stdin.write(said.stdout + bytes(32_000))
        client.stdin.flush()
        assert client.stdout.readline().decode() == PHRASE + "\n"  # a final comes before the end of the input
        client.send_signal(signal.SIGINT)
        assert client.wait(timeout=TIMEOUT) == 130
        assert b"Traceback" not in client.stderr.read()


# --- what goes wrong -------------------------------------------------------------------------------------


def say(url: str, tmp_path: Path, *more: str, **variables: str) -> tuple[int, dict]:
    out = tmp_path / "never.wav"
    done = run("say", "Hi.", "--vendor", "deepdub", "--url", url, "--out", out, "--json", *more, **variables)
    assert not out.exists()
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)["error"]


def test_missing_keys_name_their_variable(emulator: Serving, tmp_path: Path) -> None:
    code, error = say(emulator.tts, tmp_path)
    assert (code, error["type"], error["retryable"]) == (2, "ConfigurationError", False)
    assert "DEEPDUB_API_KEY" in error["message"]
    with AudioWriter(tmp_path / "a.wav", AudioFormat("pcm_s16le", 16_000)) as writer:
        writer.write(tone(0.1, 16_000))
    done = run("transcribe", tmp_path / "a.wav", "--vendor", "60db", "--url", emulator.stt)
    assert done.returncode == 2
    assert b"SIXTY_DB_API_KEY" in done.stderr


def test_bad_keys_are_refused_and_never_shown(emulator: Serving, tmp_path: Path) -> None:
    code, error = say(emulator.tts + "?token=hush", tmp_path, DEEPDUB_API_KEY="bad-0123456789")
    assert (code, error["type"], error["retryable"]) == (3, "AuthError", False)
    assert "hush" not in error["message"]
    with AudioWriter(tmp_path / "a.wav", AudioFormat("pcm_s16le", 16_000)) as writer:
        writer.write(tone(0.1, 16_000))
    arguments = ("transcribe", tmp_path / "a.wav", "--vendor", "60db", "--url", emulator.stt, "--json")
    done = run(*arguments, SIXTY_DB_API_KEY="bad-0123456789")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["type"] == "AuthError"


def test_a_refused_port(tmp_path: Path) -> None:
    code, error = say("ws://127.0.0.1:1/open", tmp_path, DEEPDUB_API_KEY="any-key")
    assert (code, error["type"], error["retryable"]) == (3, "ConnectionFailedError", True)
    assert "127.0.0.1:1" in error["message"]


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://127.0.0.1/open", "ws://"), ("ws://example.com/open", "wss://"), ("nonsense", "ws://")],
)
def test_a_wrong_url(tmp_path: Path, url: str, words: str) -> None:
    code, error = say(url, tmp_path, DEEPDUB_API_KEY="any-key")
    assert (code, error["type"]) == (2, "ConfigurationError")
    assert words in error["message"]


def test_no_credit(tmp_path: Path) -> None:
    serving = Serving("--no-credit", "--voice", "tone", "--ears", "none")
    code, error = say(serving.tts, tmp_path, DEEPDUB_API_KEY="any-key")
    assert (code, error["type"]) == (3, "QuotaError")
    assert serving.stop()[0] == 0


def test_a_truncated_file_is_transcribed_as_far_as_it_goes(emulator: Serving, tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", AudioFormat("pcm_s16le", 16_000)) as writer:
        writer.write(tone(0.5, 16_000))
    cut = (tmp_path / "a.wav").read_bytes()[:-8000]
    arguments = ("transcribe", "-", "--vendor", "60db", "--url", emulator.stt, "--json")
    done = run(*arguments, stdin=cut, SIXTY_DB_API_KEY="k.1")
    assert done.returncode == 1
    *_, end, error = map(json.loads, done.stdout.splitlines())
    assert end["in"]["seconds"] == 0.25
    assert error["error"]["message"] == "stdin: truncated: expected 16000 bytes of audio, got 8000"


@pytest.mark.parametrize(("content", "code"), [(b"", 1), (b"no audio at all", 1), (None, 2)])
def test_what_is_no_wav(emulator: Serving, tmp_path: Path, content: bytes | None, code: int) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    done = run("transcribe", path, "--vendor", "60db", "--url", emulator.stt, SIXTY_DB_API_KEY="k.1")
    assert done.returncode == code
    assert done.stderr.startswith(b"error: ")
    assert str(path).encode() in done.stderr


def test_what_was_said_before_a_failure_is_kept(tmp_path: Path) -> None:
    serving = Serving(*FOREVER)
    out = tmp_path / "a.wav"
    with subprocess.Popen(
        command("say", PHRASE, "--vendor", "deepdub", "--url", serving.tts, "--out", out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(DEEPDUB_API_KEY="any"),
    ) as client:
        while not (out.exists() and out.stat().st_size > 44):
            assert client.poll() is None
        serving.stop()
        said = client.stderr.read()
        assert client.wait(timeout=TIMEOUT) == 3
    assert f"s were written to {out})".encode() in said
    reader = InputReader("a.wav")
    assert reader.feed(out.read_bytes()) + reader.finish()
    reader.check_complete()


def test_faults_by_flag(tmp_path: Path) -> None:
    listed = run("emulate", "--fault", "help")
    assert listed.returncode == 0 and "close=VALUE" in listed.stdout.decode()
    refused = run("emulate", "--fault", "surprise")
    assert refused.returncode == 2 and b"surprise" in refused.stderr
    serving = Serving("--voice", "tone", "--ears", "none", "--fault", "close=1011@2")
    options = ("--vendor", "deepdub", "--url", serving.ready["urls"]["deepdub-open"], "--out", tmp_path / "a.wav")
    said = run("say", PHRASE, *options, "--json", DEEPDUB_API_KEY="k.1")
    assert said.returncode == 3
    assert json.loads(said.stdout)["error"]["type"] == "ConnectionLostError"
    assert serving.stop()[0] == 0
