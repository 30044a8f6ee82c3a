"""`voicecore demo` as a process, and the parts of it that need none."""

import json
import re
import signal
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from cli_harness import TIMEOUT, command, environment, run

from voicecore import AudioFormat
from voicecore.cli.demo import Heard, Outcome, Run, _print_table, normalised, pairs
from voicecore.cli.matrix import Cell
from voicecore.cli.report import page, playback
from voicecore.cli.transcribe import Finals
from voicecore.emulator.phrases import DEMO_SENTENCE
from voicecore.events import Transcript
from voicecore.streams import Metrics
from voicecore.vendors import DIALECTS

TTS = [dialect.name for dialect in DIALECTS if dialect.kind == "tts"]
STT = [dialect.name for dialect in DIALECTS if dialect.kind == "stt"]


def seconds_of(path: Path) -> float:
    with wave.open(str(path)) as reader:
        return reader.getnframes() / reader.getframerate()


def test_the_demo(tmp_path: Path) -> None:
    out = tmp_path / "new" / "demo"
    done = run("demo", "--out", out, "--json", "--interim")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert "formats" not in told
    assert told["sentence"] == DEMO_SENTENCE
    assert {vendor["vendor"] for vendor in told["vendors"]} == set(TTS + STT)
    for vendor in told["vendors"]:
        assert vendor["matches"] is True
        assert normalised(vendor["transcript"]) == normalised(DEMO_SENTENCE)
        assert vendor["chunks"] > 1
        assert vendor["ttfb"] > 0
        assert vendor["real_time_factor"] > 0
        assert seconds_of(Path(vendor["wav"])) == pytest.approx(vendor["audio_seconds"], abs=1e-4)
        assert 1.0 < vendor["audio_seconds"] < 10.0
    for name in TTS:
        with wave.open(str(out / f"{name}.wav")) as reader:
            assert reader.getparams()[:3] == (1, 2, 24_000)
    heard = next(out.glob("*-heard-*.wav"))
    with wave.open(str(heard)) as reader:
        assert reader.getparams()[:3] == (2, 2, 48_000)
    assert b" speaks" in done.stderr or b" spoke " in done.stderr
    expect_self_contained((out / "report.html").read_text(encoding="utf-8"), TTS + STT)


def test_the_table(tmp_path: Path) -> None:
    done = run("demo", "--out", tmp_path, COLUMNS="140")
    assert done.returncode == 0, done.stderr
    table = done.stdout.decode()
    for title in ("vendor", "first byte", "audio", "real-time factor", "chunks", "transcript"):
        assert title in table
    for name in TTS + STT:
        assert re.search(rf"{name} +\d+ ms +\d\.\d\d s +\d\.\d{{3}} +\d+ +{re.escape(DEMO_SENTENCE)}", table)


def test_every_format(tmp_path: Path) -> None:
    done = run("demo", "--out", tmp_path, "--formats", "all", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["formats"]
    offered = {(d.name, asked) for d in DIALECTS if d.kind == "tts" for asked in d.offers}
    assert {(entry["vendor"], entry["asked"]) for entry in told} == offered
    assert [entry for entry in told if not entry["ok"] or entry["likeness"] < 0.97] == []
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Formats</h2>" in html
    assert html.count("MP3_22050_64") == 2  # Uplift's, on both of its transports


def test_the_table_of_formats(capsys) -> None:
    good = Cell("deepdub-open", "mp3 8000", AudioFormat("mp3", 8000))
    bad = Cell("deepdub-open", "mp3 16000", AudioFormat("mp3", 16_000), problem="<late>")
    run = Run("x", "v", "e", [], [good, bad])
    _print_table(run, Path("report.html"))
    assert re.search(r"deepdub-open +- +- +- +- +- +✗ 1 of 2 +-", capsys.readouterr().out)
    html = page(run)
    assert "✗ 1 of 2" in html
    assert "&lt;late&gt;" in html


def test_a_sentence_that_is_not_understood_is_a_failure(tmp_path: Path) -> None:
    done = run("demo", "--out", tmp_path, "--text", "Zyxwv qqq, vlorp!", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert any(STT[0] in problem and "Zyxwv" in problem for problem in told["problems"])
    assert (tmp_path / "report.html").exists()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    hide = (
        "import sys, importlib.util as u; real = u.find_spec;"
        "u.find_spec = lambda name, *a: None if name in ('espeakng_loader', 'pocketsphinx') else real(name, *a);"
        "from voicecore.cli import main; main(sys.argv[1:])"
    )
    done = run("demo", "--out", tmp_path, python=("-c", hide))
    assert done.returncode == 1
    assert b"without a voice and ears" in done.stderr
    assert b"pip install 'voicecore[emulator]'" in done.stderr
    assert seconds_of(tmp_path / f"{TTS[0]}.wav") > 1


def test_interrupting_the_demo(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("demo", "--out", tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED="1"),
    )
    with process:
        assert process.stderr.readline()  # the sentence: the emulator starts
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_a_directory_that_cannot_be_made(cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = cli("demo", "--out", tmp_path / "file")
    assert said.code == 2
    assert "cannot make the directory" in said.err


# --- the parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "same"),
    [
        ("your APPOINTMENT is on monday at nine", True),
        ("Your appointment, is on Monday -- at nine!", True),
        ("Your appointment is on Monday at five.", False),
        ("", False),
    ],
)
def test_normalised(heard: str, same: bool) -> None:
    assert (normalised(heard) == normalised("Your appointment is on Monday at nine.")) is same


def test_normalised_keeps_words_with_an_apostrophe_whole() -> None:
    assert normalised("It's 9 o'clock.") == "its 9 oclock"


@pytest.mark.parametrize(
    ("voices", "ears", "expected"),
    [("a", "x", "ax"), ("abc", "x", "ax bx cx"), ("a", "xy", "ax ay"), ("abc", "xy", "ax by cx"), ("", "x", "")],
)
def test_pairs(voices: str, ears: str, expected: str) -> None:
    assert " ".join(voice + ear for voice, ear in pairs(list(voices), list(ears))) == expected


def test_a_refined_final_replaces_the_first() -> None:
    finals = Finals()
    for text, final, done in [("w", False, False), ("won", True, False), ("One.", True, True), ("Two.", True, True)]:
        finals.add(Transcript(text, final, done))
    assert finals.text == "One. Two."


# --- the report ------------------------------------------------------------------------------------------


def expect_self_contained(html: str, names: list[str]) -> None:
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    words = re.sub(r"data:audio/wav;base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"://|<link|<script|@import|url\(", words)
    for name in names:
        card = html.split(f'<section id="{name}">')[1].split("</section>")[0]
        assert card.count("<svg") == 2
        assert "<polygon" in card


def outcome(name: str = "deepdub-open", kind: str = "tts", **fields: object) -> Outcome:
    arrivals = [(0.1, 0.2), (0.15, 0.2), (0.9, 0.2)]
    metrics = Metrics(0.0, 0.1, 1.0, 100, 0.6, 3, arrivals)
    return Outcome(name, kind, samples=np.arange(-2000, 2000, dtype=np.int16), metrics=metrics, **fields)


def test_a_player_waits_for_what_comes_late() -> None:
    times = [time for chunk in playback(outcome()) for time in chunk]
    assert times == pytest.approx([0.1, 0.1, 0.3, 0.15, 0.3, 0.5, 0.9, 0.9, 1.1])


def test_a_page_of_good_and_bad() -> None:
    heard = [Heard(0.5, "<b>", False), Heard(0.9, "a & b", True)]
    bad = outcome("60db-stt", "stt", heard=heard, transcript="a & b", partner="deepdub-open")
    html = page(Run("<script>alert(1)</script>", "v", "e", [outcome(), bad], problems=["it & that"]))
    expect_self_contained(html, ["deepdub-open", "60db-stt"])
    assert "failed" in html
    assert "&lt;script&gt;" in html
    assert "a &amp; b" in html
    assert "it &amp; that" in html
    assert "prefers-color-scheme: dark" in html


def test_a_vendor_that_gave_nothing_has_a_card() -> None:
    html = page(
        Run("x", "v", "e", [Outcome("deepdub-open", "tts", problem="went away")], problems=["deepdub-open: went away"])
    )
    assert html.count("<svg") == 2
    assert "went away" in html
