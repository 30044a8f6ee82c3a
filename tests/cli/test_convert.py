"""`voicecore convert`: formats in and out, files and pipes, and what it refuses."""

import importlib.util
import json
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_harness import TIMEOUT, command, environment, run, tone
from support.formats import mp3, ogg

from voicecore import AudioFormat, codec
from voicecore.cli.matrix import compare
from voicecore.cli.wavfile import AudioWriter, InputReader, MediaReader

RATE = 16_000
ENCODINGS = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Half a second of a tone, stereo at 16 kHz."""
    path = tmp_path / "in.wav"
    with AudioWriter(path, AudioFormat("pcm_s16le", RATE, 2)) as writer:
        writer.write(tone(0.5, RATE, 2))
    return path


def read(path: Path) -> tuple[AudioFormat, bytes]:
    reader = InputReader(path.name)
    data = reader.feed(path.read_bytes()) + reader.finish()
    reader.check_complete()
    assert reader.format is not None
    return reader.format, data


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_there_and_back(cli, source: Path, tmp_path: Path, encoding: str, channels: int, rate: int) -> None:
    there, back = tmp_path / "there.wav", tmp_path / "back.wav"
    options = ("--rate", rate, "--encoding", encoding, "--channels", channels)
    assert cli("convert", source, there, *options).code == 0
    assert read(there)[0] == AudioFormat(encoding, rate, channels)
    assert cli("convert", there, back, "--rate", RATE, "--encoding", "pcm_s16le", "--channels", 2).code == 0
    audio, data = read(back)
    assert audio == AudioFormat("pcm_s16le", RATE, 2)
    samples = np.frombuffer(data, "<i2").reshape(-1, 2)
    assert samples.shape == (8000, 2)
    middle = slice(1000, -1000)  # the ends of a tone that begins at once are not a tone
    error = samples[middle].astype(int) - tone(0.5, RATE, 2)[middle]
    assert np.abs(error).max() < (400 if encoding in ("mulaw", "alaw") else 60)


def test_same_format_is_bit_exact_and_wave_can_read_it(cli, source: Path, tmp_path: Path) -> None:
    assert cli("convert", source, tmp_path / "out.wav").code == 0
    assert (tmp_path / "out.wav").read_bytes() == source.read_bytes()
    with wave.open(str(tmp_path / "out.wav")) as reader:
        assert reader.getnframes() == 8000


def test_it_is_the_transcoder_whatever_the_blocks(cli, tmp_path: Path) -> None:
    samples = tone(10.0, 44_100)  # many blocks
    (tmp_path / "in.raw").write_bytes(samples.tobytes())
    options = ("--in-rate", 44_100, "--rate", 16_000, "--encoding", "alaw", "--quality", "voice", "--raw")
    assert cli("convert", tmp_path / "in.raw", tmp_path / "out.raw", *options).code == 0
    whole = codec.Transcoder(AudioFormat("pcm_s16le", 44_100), AudioFormat("alaw", 16_000), quality="voice")
    expected = whole.process(samples).tobytes() + whole.flush().tobytes()
    assert (tmp_path / "out.raw").read_bytes() == expected


def test_raw_mulaw_to_wav(cli, tmp_path: Path) -> None:
    encoded = codec.encode_mulaw(tone(0.1, 8000))
    (tmp_path / "in.ul").write_bytes(encoded.tobytes())
    options = ("--in-rate", 8000, "--in-encoding", "mulaw", "--encoding", "pcm_s16le")
    assert cli("convert", tmp_path / "in.ul", tmp_path / "out.wav", *options).code == 0
    assert read(tmp_path / "out.wav") == (AudioFormat("pcm_s16le", 8000), codec.decode_mulaw(encoded).tobytes())


def test_json(cli, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    said = cli("convert", source, out, "--rate", 8000, "--encoding", "ulaw", "--channels", 1, "--json")
    assert said.json == {
        "in": {"encoding": "pcm_s16le", "sample_rate": RATE, "channels": 2, "seconds": 0.5},
        "out": {"encoding": "mulaw", "sample_rate": 8000, "channels": 1, "seconds": 0.5, "path": str(out)},
    }


def test_an_empty_wav_becomes_an_empty_wav(cli, tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "in.wav", AudioFormat("pcm_s16le", RATE)) as writer:
        writer.write(b"")
    assert cli("convert", tmp_path / "in.wav", tmp_path / "out.wav", "--rate", 8000).code == 0
    assert read(tmp_path / "out.wav") == (AudioFormat("pcm_s16le", 8000), b"")


def test_a_pipe_has_streaming_sizes_and_can_be_read_again(source: Path) -> None:
    done = run("convert", "-", "-", "--channels", 1, stdin=source.read_bytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout[4:8] == done.stdout[40:44] == b"\xff" * 4
    again = run("convert", "-", "-", "--raw", "--json", stdin=done.stdout)
    assert again.returncode == 0, again.stderr
    assert again.stdout == tone(0.5, RATE).tobytes()
    assert json.loads(again.stderr)["out"]["path"] == "-"  # stdout carries the samples


def test_nobody_reads_the_pipe(tmp_path: Path) -> None:
    (tmp_path / "in.raw").write_bytes(tone(60.0, 8000).tobytes())  # far more than a pipe holds
    process = subprocess.Popen(
        command("convert", tmp_path / "in.raw", "-", "--in-rate", 8000),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=TIMEOUT) == 1


# --- bad input -------------------------------------------------------------------------------------------


def test_a_truncated_wav_fails_and_says_what_was_delivered(cli, source: Path, tmp_path: Path) -> None:
    source.write_bytes(source.read_bytes()[:-16_000])  # half of it
    said = cli("convert", source, tmp_path / "out.wav", "--channels", 1)
    assert said.code == 1
    assert said.err == (
        f"error: {source}: truncated: expected 32000 bytes of audio, got 16000 "
        f"(0.250 s were written to {tmp_path / 'out.wav'})\n"
    )
    assert read(tmp_path / "out.wav")[1] == tone(0.5, RATE)[:4000].tobytes()


def test_half_a_sample_at_the_end_of_raw_input(cli, tmp_path: Path) -> None:
    (tmp_path / "in.raw").write_bytes(bytes(9))
    said = cli("convert", tmp_path / "in.raw", tmp_path / "out.wav", "--in-rate", 8000, "--in-channels", 2, "--json")
    assert said.code == 1
    assert said.json["error"]["type"] == "ContainerError"
    assert "ends with 1 bytes of a frame of 4" in said.json["error"]["message"]
    assert said.err == ""


def test_what_is_no_wav(cli, tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(b"hello, this is no audio")
    said = cli("convert", tmp_path / "in.wav", tmp_path / "out.wav")
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert 'expected "RIFF"' in said.err
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rate", 100), "sample_rate: expected 4000 to 192000 Hz, got 100"),
        (("--rate", "fast"), "--rate"),
        (("--encoding", "mp3"), "OUT: expected another name than .wav for mp3"),
        (("--encoding", "opus", "--raw"), "OUT: expected another name than .wav for opus"),
        (("--bit-rate", 64_000), "--bit-rate: expected mp3 or opus, got an encoding as IN"),
        (("--encoding", "gsm"), "encoding: expected one of pcm_s16le"),
        (("--channels", 0), "channels: expected 1 to 64, got 0"),
        (("--channels", 3), "channels"),
        (("--quality", "best"), "--quality"),
        (("--in-encoding", "mulaw"), "sample rate is needed"),
        (("--in-rate", 8000), "WAV header"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_bad_options(cli, source: Path, tmp_path: Path, options: tuple, words: str) -> None:
    said = cli("convert", source, tmp_path / "out.wav", *options)
    assert said.code == 2
    assert words in said.err
    assert not (tmp_path / "out.wav").exists()
    in_json = cli("convert", source, tmp_path / "out.wav", *options, "--json")
    assert in_json.code == 2
    assert set(in_json.json["error"]) == {"type", "message", "retryable"}
    assert words in in_json.json["error"]["message"]


@pytest.mark.parametrize("names", [("nothing.wav", "out.wav"), ("in.wav", "no/out.wav"), ("in.wav", "in.wav")])
def test_bad_paths(cli, source: Path, names: tuple[str, str]) -> None:
    before = source.read_bytes()
    said = cli("convert", *(source.parent / name for name in names))
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["in.mp3", "in.ogg"])
@pytest.mark.parametrize("rate", [None, 16_000])
def test_coded_input_is_recognised_by_its_content(cli, tmp_path: Path, name: str, rate: int | None) -> None:
    data = mp3(24_000, 2, 64_000) if name == "in.mp3" else ogg(2)
    path, target = tmp_path / "in.wav", tmp_path / "out.wav"
    path.write_bytes(data)
    result = cli("convert", path, target, "--json", *(("--rate", rate) if rate else ()))
    assert result.code == 0
    native = 24_000 if name == "in.mp3" else 48_000
    audio, samples = read(target)
    assert audio == AudioFormat("pcm_s16le", rate or native, 2)
    source = codec.detect(data)
    transcoder = codec.Transcoder(source, audio, quality="hq")
    assert samples == transcoder.process(data).tobytes() + transcoder.flush().tobytes()
    assert json.loads(result.out)["in"] == {
        "encoding": source.encoding,
        "sample_rate": native,
        "channels": 2,
        "seconds": 0.5,
        "skipped_bytes": 0,
        "concealed_frames": 0,
    }


def test_coded_input_through_a_pipe_in_small_pieces(cli, tmp_path: Path) -> None:
    data = mp3(24_000)
    reader = MediaReader("stdin")
    pieces = [reader.feed(data[at : at + 10]) for at in range(0, len(data), 10)]
    assert b"".join(pieces) + reader.finish() == data
    reader.check_complete()
    assert reader.format == AudioFormat("mp3", 24_000)


def test_coded_input_that_is_cut_or_damaged(cli, tmp_path: Path) -> None:
    data = mp3(24_000, bare=True)
    path, target = tmp_path / "in.mp3", tmp_path / "out.pcm"
    path.write_bytes(data[:-10])
    result = cli("convert", path, target, "--raw", "--encoding", "mulaw")
    assert result.code != 0
    assert "the input ends with 86 bytes of an incomplete packet" in result.err
    assert target.stat().st_size == len(data) // 96 * 576 - 576
    path.write_bytes(data[:960] + b"junk" + data[960:])
    result = cli("convert", path, target, "--raw", "--json")
    assert json.loads(result.out)["in"]["skipped_bytes"] == 4


def test_input_that_is_nothing_known(cli, tmp_path: Path) -> None:
    path = tmp_path / "in.mp3"
    path.write_bytes(b'{"error": "no voice"}')
    result = cli("convert", path, tmp_path / "out.wav")
    assert result.code != 0
    assert 'expected "RIFF"' in result.err


@pytest.mark.parametrize(("subtype", "encoding"), [("PCM_24", "pcm_s24le"), ("PCM_32", "pcm_s32le")])
def test_wide_integers_stay_wide_unless_asked_otherwise(cli, tmp_path: Path, subtype: str, encoding: str) -> None:
    path, same, narrow = (tmp_path / name for name in ("in.wav", "same.wav", "narrow.wav"))
    soundfile.write(path, (tone(0.1, RATE, 2).astype(np.int32) << 16) + 256, RATE, subtype=subtype)
    assert cli("convert", path, same).code == cli("convert", path, narrow, "--encoding", "pcm_s16le").code == 0
    assert read(same)[0] == AudioFormat(encoding, RATE, 2)
    assert soundfile.info(same).subtype == subtype
    assert np.array_equal(soundfile.read(same, dtype="int32")[0], soundfile.read(path, dtype="int32")[0])
    assert read(narrow) == (AudioFormat("pcm_s16le", RATE, 2), tone(0.1, RATE, 2).tobytes())


# --- writing MP3 and Opus --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "encoding", "rate"),
    [
        ("out.mp3", (), "mp3", RATE),
        ("out.MP3", ("--rate", 24_000, "--bit-rate", 48_000), "mp3", 24_000),
        ("out.ogg", (), "opus", RATE),
        ("out.opus", ("--rate", 48_000), "opus", 48_000),
        ("out.bin", ("--encoding", "mp3"), "mp3", RATE),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_coded_output_is_read_by_others_and_has_the_exact_length(
    cli, source: Path, tmp_path: Path, name: str, options: tuple, encoding: str, rate: int, channels: int
) -> None:
    path, back = tmp_path / name, tmp_path / "back.wav"
    result = cli("convert", source, path, "--channels", channels, "--json", *options)
    assert result.json["out"] == {
        "encoding": encoding,
        "sample_rate": rate,
        "channels": channels,
        "seconds": 0.5,
        "path": str(path),
    }
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.frames) == (rate, channels, rate // 2)
    assert info.subtype == {"mp3": "MPEG_LAYER_III", "opus": "OPUS"}[encoding]
    assert cli("convert", path, back, "--rate", RATE, "--encoding", "pcm_s16le").code == 0
    samples = np.frombuffer(read(back)[1], "<i2").reshape(-1, channels)
    delay, likeness = compare(samples[:, 0], tone(0.5, RATE, 2)[:, 0], RATE)
    assert len(samples) == 8000 and abs(delay) < 0.001 and likeness > (0.98 if channels == 2 else 0.5)


def test_coded_output_at_a_bit_rate(cli, tmp_path: Path) -> None:
    (tmp_path / "in.raw").write_bytes(tone(10.0, 44_100).tobytes())
    sizes = []
    for bit_rate in (32_000, 128_000):
        result = cli("convert", tmp_path / "in.raw", tmp_path / "a.mp3", "--in-rate", 44_100, "--bit-rate", bit_rate)
        assert result.code == 0
        sizes.append((tmp_path / "a.mp3").stat().st_size)
    assert sizes == [pytest.approx(40_000, rel=0.02), pytest.approx(160_000, rel=0.02)]


def test_a_rate_that_is_not_coded_becomes_the_next_one(cli, source: Path, tmp_path: Path) -> None:
    high = tmp_path / "high.wav"
    assert cli("convert", source, high, "--rate", 96_000).code == 0
    assert cli("convert", high, tmp_path / "a.ogg", "--json").json["out"]["sample_rate"] == 48_000
    assert cli("convert", high, tmp_path / "a.mp3", "--json").json["out"]["sample_rate"] == 48_000


@pytest.mark.parametrize("encoding", ["mp3", "opus"])
def test_coded_output_to_a_pipe(source: Path, encoding: str) -> None:
    done = run("convert", "-", "-", "--encoding", encoding, stdin=source.read_bytes())
    assert done.returncode == 0, done.stderr
    found = codec.detect(done.stdout)
    assert found is not None and (found.encoding, found.channels) == (encoding, 2)
    assert not done.stdout.startswith(b"ID3")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.mp3", ("--encoding", "mulaw"), "encoding: expected mp3 in"),
        ("out.ogg", ("--encoding", "mp3"), "encoding: expected opus in"),
        ("out.pcm", ("--encoding", "mp3", "--raw"), "--raw: expected an encoding with samples, got mp3"),
        ("out.opus", ("--rate", 44_100), "rate of opus: expected one of 8000, 12000, 16000, 24000, 48000, got 44100"),
        ("out.mp3", ("--channels", 3), "channels"),
        ("out.mp3", ("--bit-rate", 1), "bit rate: expected a whole number from 8000 to 320000, got 1"),
    ],
)
def test_bad_options_of_coded_output(cli, source: Path, tmp_path: Path, name: str, options: tuple, words: str) -> None:
    said = cli("convert", source, tmp_path / name, *options)
    assert said.code == 2
    assert words in said.err
    assert not (tmp_path / name).exists()


def test_without_the_extra_it_says_what_to_install(cli, source: Path, tmp_path: Path, monkeypatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "av" else real(name, *a))
    said = cli("convert", source, tmp_path / "out.mp3")
    assert said.code == 2
    assert "no encoder for mp3: pip install 'voicecore[emulator]'" in said.err
    assert not (tmp_path / "out.mp3").exists()
