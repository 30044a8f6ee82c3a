"""Reading and writing WAV and raw files, against the standard library's `wave`."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from cli_harness import tone

from voicecore.audio import AudioFormat
from voicecore.cli.wavfile import AudioWriter, InputReader, wav_header
from voicecore.errors import ConfigurationError, ContainerError

PCM = AudioFormat("pcm_s16le", 16_000)


def wav_bytes(samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, rate, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_wave_reads_what_we_write(tmp_path: Path, channels: int) -> None:
    samples = tone(0.1, 16_000, channels)
    with AudioWriter(tmp_path / "a.wav", AudioFormat("pcm_s16le", 16_000, channels)) as writer:
        writer.write(samples[:700])
        writer.write(samples[700:])
    with wave.open(str(tmp_path / "a.wav")) as reader:
        assert reader.getparams()[:4] == (channels, 2, 16_000, 1600)
        assert reader.readframes(1600) == samples.tobytes()


@pytest.mark.parametrize("cut", [1, 7, 44, 45, 1000])
def test_we_read_what_wave_writes_however_it_is_cut(cut: int) -> None:
    samples = tone(0.1, 8000, 2)
    data = wav_bytes(samples, 8000, 2)
    reader = InputReader("in")
    read = b"".join(reader.feed(data[at : at + cut]) for at in range(0, len(data), cut)) + reader.finish()
    reader.check_complete()
    assert read == samples.tobytes()
    assert reader.format == AudioFormat("pcm_s16le", 8000, 2)
    assert reader.seconds == pytest.approx(0.1)


@pytest.mark.parametrize(("encoding", "tag", "bits"), [("pcm_f32le", 3, 32), ("mulaw", 7, 8), ("alaw", 6, 8)])
def test_header_of_what_is_not_pcm_has_an_extension_and_a_fact(encoding: str, tag: int, bits: int) -> None:
    header = wav_header(AudioFormat(encoding, 8000), 800)
    assert struct.unpack_from("<4sIHHIIHHH", header, 12) == (
        b"fmt ", 18, tag, 1, 8000, 8000 * bits // 8, bits // 8, bits, 0,
    )  # fmt: skip
    assert struct.unpack_from("<4sII", header, 38) == (b"fact", 4, 800 // (bits // 8))
    assert struct.unpack_from("<4sI", header, 50) == (b"data", 800)
    assert struct.unpack_from("<I", header, 4) == (len(header) + 800 - 8,)


def test_odd_data_is_padded_and_the_padding_not_counted(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", AudioFormat("mulaw", 8000)) as writer:
        writer.write(b"\x11\x22\x33")
    data = (tmp_path / "a.wav").read_bytes()
    assert data.endswith(struct.pack("<I", 3) + b"\x11\x22\x33\0")
    assert struct.unpack_from("<I", data, 4) == (len(data) - 8,)


def test_nothing_written_makes_no_file(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", PCM):
        pass
    assert not (tmp_path / "a.wav").exists()


def test_an_empty_piece_makes_an_empty_wav(tmp_path: Path) -> None:
    with AudioWriter(tmp_path / "a.wav", PCM) as writer:
        writer.write(np.zeros((0, 2), np.int16))
    assert (tmp_path / "a.wav").read_bytes() == wav_header(PCM, 0)


@pytest.mark.parametrize("where", ["", "no/such/a.wav"])
def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot write"):
        AudioWriter(tmp_path / where, PCM)


@pytest.mark.parametrize("missing", [1, 2, 1000])
def test_a_file_that_ends_early_is_truncated(missing: int) -> None:
    data = wav_bytes(tone(0.1, 16_000))
    reader = InputReader("in.wav")
    reader.feed(data[:-missing])
    reader.finish()
    with pytest.raises(ContainerError, match=f"in.wav: truncated: expected 3200 bytes of audio, got {3200 - missing}"):
        reader.check_complete()


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0xFFFF_FFFF])
def test_a_placeholder_size_is_no_promise(size: int) -> None:
    data = bytearray(wav_bytes(tone(0.1, 16_000)))
    struct.pack_into("<I", data, 40, size)
    reader = InputReader("in.wav")
    assert len(reader.feed(bytes(data)) + reader.finish()) == 3200
    reader.check_complete()


def test_a_size_behind_a_long_list_chunk_is_found() -> None:
    data = wav_bytes(tone(0.1, 16_000))
    data = data[:36] + b"LIST" + struct.pack("<I", 100_000) + bytes(100_000) + data[36:-2]
    reader = InputReader("in.wav")
    for at in range(0, len(data), 4096):
        reader.feed(data[at : at + 4096])
    reader.finish()
    with pytest.raises(ContainerError, match="truncated"):
        reader.check_complete()


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEfmt ", b"hello, this is no audio"])
def test_what_is_no_wav_is_refused(data: bytes) -> None:
    reader = InputReader("in.wav")
    with pytest.raises(ContainerError, match=r"^in\.wav: "):
        reader.feed(data)
        reader.finish()
        reader.check_complete()


def test_raw_input_passes_as_it_is() -> None:
    reader = InputReader("in.raw", PCM)
    assert reader.feed(b"abcdef") + reader.finish() == b"abcdef"
    assert reader.format == PCM


def test_raw_options_for_a_wav_of_another_format_are_refused() -> None:
    reader = InputReader("in.wav", AudioFormat("mulaw", 8000))
    with pytest.raises(ConfigurationError, match=r"expected raw mulaw 8000 Hz 1 ch .* got a WAV header"):
        reader.feed(wav_bytes(tone(0.1, 16_000)))
