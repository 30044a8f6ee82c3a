"""The road over real sockets, on trio, asyncio and uvloop: the public API against the emulator, alone, fifty at once,
over TLS, and refused."""

from __future__ import annotations

import logging
import pickle
import socket
import ssl
import traceback
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import trio
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support import here

import voicecore
from voicecore import AudioFormat, codec
from voicecore.emulator import Emulator, run_emulator
from voicecore.vendors.deepdub.common import wav_header

RUNTIMES = here.REAL
TEXT = "Every sample of it."
CANARY = "canary-Zx81-key"


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with run_emulator(voice="tone", ears="none") as running:
        yield running


async def expected(text: str, output: AudioFormat, wire_rate: int) -> np.ndarray:
    """The tone that the emulator speaks, through the same two conversions, without any protocol."""
    return await here.on_trio(_expected, text, output, wire_rate)


async def _expected(text: str, output: AudioFormat, wire_rate: int) -> np.ndarray:
    from voicecore.emulator.voice import open_voice

    async with open_voice(engine="tone") as voice, voice.speak(text) as parts:
        pcm = b"".join([bytes(part) async for part in parts])
    wire = AudioFormat("pcm_s16le", wire_rate)
    there = codec.Transcoder(AudioFormat("pcm_s16le", voice.sample_rate), wire)
    sent = np.concatenate([there.process(pcm), there.flush()])
    back = codec.Transcoder(wire, output)
    return np.concatenate([back.process(sent), back.flush()])


@pytest.mark.parametrize(
    ("output", "wire_rate"),
    [
        (AudioFormat("pcm_s16le", 16_000), 16_000),
        (AudioFormat("pcm_s16le", 24_000), 24_000),
        (AudioFormat("pcm_s16le", 11_025), 16_000),
        (AudioFormat("pcm_s16le", 96_000), 48_000),
        (AudioFormat("pcm_f32le", 48_000, channels=2), 48_000),
        (AudioFormat("alaw", 8_000), 8_000),
    ],
    ids=str,
)
async def test_output_comes_in_the_format_that_was_asked_for(emulator, output, wire_rate):
    url = emulator.urls["deepdub-open"]
    async with here.connect_tts("deepdub", api_key="k", url=url) as tts:
        async with tts.synthesize(TEXT, voice="v", output=output) as speech:
            chunks = [chunk async for chunk in speech]
    assert {chunk.format for chunk in chunks} == {output}
    assert np.array_equal(np.concatenate([c.samples for c in chunks]), await expected(TEXT, output, wire_rate))


async def test_mulaw_is_asked_of_the_vendor_and_passed_on(emulator):
    output = AudioFormat("mulaw", 8_000)
    async with here.connect_tts("deepdub", api_key="k", url=emulator.urls["deepdub-open"]) as tts:
        async with tts.synthesize(TEXT, output=output) as ours, tts.synthesize(TEXT, output=None, options=RAW) as raw:
            samples = np.concatenate([c.samples async for c in ours])
            assert samples.tobytes() == b"".join([c.data async for c in raw])


RAW = voicecore.DeepdubOptions(format="mulaw")


async def test_fifty_utterances_at_once_on_one_socket(emulator):
    texts = [f"This is number {number}, and no other." for number in range(50)]
    output = AudioFormat("pcm_s16le", 22_050)
    got: dict[str, np.ndarray] = {}

    async def speak(text: str) -> None:
        async with tts.synthesize(text, output=output) as speech:
            got[text] = np.concatenate([chunk.samples async for chunk in speech])

    async with here.connect_tts("deepdub", api_key="k", url=emulator.urls["deepdub-open"]) as tts:
        async with here.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(speak, text)
    assert emulator.connections == 1
    for text in texts:
        assert np.array_equal(got[text], await expected(text, output, 22_050))


async def test_fifty_streams_at_once(emulator):
    audio = np.random.default_rng(0).normal(0, 5000, (48_000, 2)).astype("<i2")
    ended: list[float] = []

    async def listen() -> None:
        async with stt.stream(input=AudioFormat("pcm_s16le", 48_000, channels=2)) as stream:
            for at in range(0, len(audio), 960):
                await stream.send(audio[at : at + 960])
            await stream.finish()
            async for transcript in stream:
                assert transcript.text == ""  # there are no ears in this emulator
            ended.append(stream.summary.audio_seconds)

    async with here.connect_stt("60db", api_key="k", url=emulator.urls["60db-stt"]) as stt:
        async with here.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(listen)
    assert ended == [pytest.approx(2.0)] * 50  # one second of audio, one of trailing silence


async def test_a_voice_is_classified(emulator):
    phase = 2 * np.pi * 220 * np.arange(16_000) / 16_000
    pcm = (sum(np.sin(k * phase) / k for k in range(1, 6)) * 5000).astype("<i2").tobytes()
    async with here.connect_tts("deepdub", api_key="k", url=emulator.urls["deepdub-open"]) as tts:
        assert (await tts.classify_voice(wav_header(16_000, len(pcm)) + pcm))["gender"] == "female"
        with pytest.raises(voicecore.InvalidRequestError, match="audio"):
            await tts.classify_voice(wav_header(16_000, 0))


# --- refusals --------------------------------------------------------------------------------------------


async def connect(url: str, **arguments: object) -> None:
    async with here.connect_tts("deepdub", url=url, **({"api_key": CANARY} | arguments)):
        pass


async def test_a_refused_port_a_wrong_path_and_a_server_that_is_none(emulator):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(voicecore.ConnectionFailedError, match="refused"):
        await connect(f"ws://127.0.0.1:{port}/open")
    with pytest.raises(voicecore.ConnectionFailedError, match="refused"):
        await connect(f"ws://localhost:{port}/open")
    with pytest.raises(voicecore.ConnectionFailedError, match="404") as caught:
        await connect(emulator.urls["deepdub-open"] + "/elsewhere")
    assert not caught.value.retryable
    with pytest.raises(voicecore.ConnectionFailedError):
        await connect("ws://no-such-host.invalid/open", allow_plaintext=True)


@pytest.mark.parametrize("said", [b"", b"220 smtp ready\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", bytes(range(256)) * 9])
async def test_a_peer_that_speaks_something_else(said, nursery):
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(said)
        await stream.send_eof()

    listeners = await here.on_trio(nursery.start, trio.serve_tcp, serve, 0)
    port = listeners[0].socket.getsockname()[1]
    with pytest.raises(voicecore.ConnectionFailedError):
        await connect(f"ws://127.0.0.1:{port}/open")


DAY = timedelta(days=1)


@pytest.fixture
async def tls_proxy(emulator: Emulator, nursery: trio.Nursery):
    """Puts TLS with a given certificate in front of the emulator; gives its port."""

    async def start(certificate: trustme.LeafCert, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> int:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        if newest < ssl.TLSVersion.TLSv1_2:
            with warnings.catch_warnings(action="ignore"):  # it is deprecated, which is what is tested
                context.minimum_version = context.maximum_version = newest

        async def serve(tcp: trio.SocketStream) -> None:
            outer = trio.SSLStream(tcp, context, server_side=True, https_compatible=True)
            inner = await emulator.open_stream("")
            try:
                async with trio.open_nursery() as pumps:
                    pumps.start_soon(pump, outer, inner, pumps.cancel_scope)
                    pumps.start_soon(pump, inner, outer, pumps.cancel_scope)
            finally:
                await trio.aclose_forcefully(outer)
                await trio.aclose_forcefully(inner)

        async def pump(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
            try:
                while data := await source.receive_some():
                    await sink.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            scope.cancel()

        listeners = await here.on_trio(nursery.start, trio.serve_tcp, serve, 0)
        return listeners[0].socket.getsockname()[1]

    return start


@pytest.mark.fault(28, "tts", "stt")
async def test_tls_is_verified(tls_proxy):
    authority, other = trustme.CA(), trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    good = await tls_proxy(authority.issue_cert("localhost"))
    wrong_host = await tls_proxy(authority.issue_cert("elsewhere.example"))
    unknown_issuer = await tls_proxy(other.issue_cert("localhost"))

    await connect(f"wss://localhost:{good}/open", ssl_context=trusting)
    for port in (wrong_host, unknown_issuer):
        with pytest.raises(voicecore.TlsError, match="certificate"):
            await connect(f"wss://localhost:{port}/open", ssl_context=trusting)
    with pytest.raises(voicecore.TlsError, match="certificate"):
        await connect(f"wss://localhost:{good}/open")


def self_signed() -> trustme.LeafCert:
    """A certificate that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(tz=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - DAY, now + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return trustme.LeafCert(secret, pem, [])


@pytest.mark.fault(28, "tts", "stt")
@pytest.mark.parametrize("kind", ["expired", "not yet valid", "self-signed"])
async def test_a_certificate_that_is_no_good_is_refused(tls_proxy, kind):
    authority, now = trustme.CA(), datetime.now(tz=UTC)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    certificate = {
        "expired": lambda: authority.issue_cert("localhost", not_before=now - 2 * DAY, not_after=now - DAY),
        "not yet valid": lambda: authority.issue_cert("localhost", not_before=now + DAY, not_after=now + 2 * DAY),
        "self-signed": self_signed,
    }[kind]()
    port = await tls_proxy(certificate)
    with pytest.raises(voicecore.TlsError, match="certificate"):
        await connect(f"wss://localhost:{port}/open", ssl_context=trusting)


@pytest.mark.fault(28, "tts", "stt")
async def test_an_old_tls_is_refused(tls_proxy):
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    port = await tls_proxy(authority.issue_cert("localhost"), newest=ssl.TLSVersion.TLSv1_1)
    with pytest.raises(voicecore.TlsError):
        await connect(f"wss://localhost:{port}/open", ssl_context=trusting)


async def test_tls_with_a_peer_that_speaks_plain(emulator):
    with pytest.raises(voicecore.TlsError):
        await connect(emulator.urls["deepdub-open"].replace("ws:", "wss:"))


@pytest.mark.fault(20, "deepdub-open", "60db-stt")
async def test_the_key_shows_nowhere(emulator, caplog, capfd):
    """Accepted and refused, for a key in a header and a key in the query, with every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    shown = []
    async with here.connect_tts("deepdub", api_key=CANARY, url=emulator.urls["deepdub-open"]) as tts:
        shown.append(repr(vars(tts)))
        async with tts.synthesize("Hello") as speech:
            async for chunk in speech:
                shown.append(repr(chunk))
        shown.append(repr(vars(speech)))
    async with here.connect_stt("60db", api_key=CANARY, url=emulator.urls["60db-stt"]) as stt:
        async with stt.stream() as stream:
            await stream.finish()
            async for _ in stream:
                pass
        shown.append(repr(vars(stt)))
    for vendor, url, open_ in (
        ("deepdub", emulator.urls["deepdub-open"], here.connect_tts),
        ("60db", emulator.urls["60db-stt"], here.connect_stt),
    ):
        try:
            async with open_(vendor, api_key=f"bad-{CANARY}", url=url):
                raise AssertionError("a bad key was accepted")
        except voicecore.AuthError as error:
            shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    logged = [record.getMessage() for record in caplog.records]
    assert logged, "the emulator's WebSocket library does log"
    captured = capfd.readouterr()
    for text in [*shown, *logged, captured.out, captured.err]:
        assert CANARY not in text


@pytest.mark.parametrize(
    "error",
    [
        voicecore.DeadlineError("late", "total", 3.0),
        voicecore.ConnectionLostError("gone", 1011, "oops"),
        voicecore.Base64Error("bad", 7),
        voicecore.RateLimitError("slow", "deepdub", "RateLimit"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_can_be_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@here.only_trio
async def test_an_error_in_the_block_comes_out_of_the_emulator_as_itself():
    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with run_emulator(voice="tone", ears="none"):
            raise Mine
