"""`voicecore emulate`: every vendor's protocol, served on this machine until it is told to stop."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import trio
import typer

from voicecore.cli import output
from voicecore.errors import ConfigurationError, ConnectionFailedError
from voicecore.secret import Secret

if TYPE_CHECKING:
    from voicecore.emulator import Emulator, Profile

EPILOG = output.epilog(
    ("voicecore emulate", "then, elsewhere: DEEPDUB_API_KEY=any voicecore say ... --url ..."),
    ("voicecore emulate --port 0 --json", "a free port; one line of JSON when it is ready"),
    ("MY_KEY=secret voicecore emulate --key-env MY_KEY", "accept exactly this key"),
    ("voicecore emulate --llm-script replies.json", '[{"content": "Hello."}, {"fault": "http=503"}]'),
    ("voicecore emulate --dictation --refusal in-band --pace 1", ""),
    after=f"Ctrl-C or SIGTERM ends it, with exit code 0.\n\n{output.EXIT_CODES}",
)


TONE, DEAF = "tone", "none"  # the engines that stand in


class VoiceEngine(StrEnum):
    """What speaks."""

    AUTO = "auto"
    ESPEAK = "espeak"
    TONE = "tone"


class EarsEngine(StrEnum):
    """What listens."""

    AUTO = "auto"
    POCKETSPHINX = "pocketsphinx"
    NONE = "none"


class Refusal(StrEnum):
    """How a bad key is refused."""

    VENDOR = "vendor"
    HTTP = "http"
    IN_BAND = "in-band"
    SILENT = "silent"


class Handshake(StrEnum):
    """When 60db says `connected`."""

    AFTER_START = "after-start"
    BEFORE_START = "before-start"


class Envelope(StrEnum):
    """The form of the bodies of 60db's messages."""

    OBJECT = "object"
    BOOLEAN = "boolean"


class ContextIds(StrEnum):
    """Whether 60db's server says which context a message is about."""

    SENT = "sent"
    LEFT_OUT = "left-out"


class ClosesAfter(StrEnum):
    """Which closed context ends a 60db text-to-speech socket."""

    LAST = "last"
    ANY = "any"


class Frames(StrEnum):
    """The WebSocket frames of Deepdub's audio messages."""

    BINARY = "binary"
    TEXT = "text"


class Generations(StrEnum):
    """What Deepdub's `/ws` speaks in one generation."""

    SENTENCE = "sentence"
    TURN = "turn"


class TurnEnd(StrEnum):
    """How Deepdub's `/ws` ends a turn."""

    FINAL = "final"
    SILENCE = "silence"


class LastAudio(StrEnum):
    """Where the last audio of an utterance travels."""

    IN_LAST = "in-last"
    BEFORE_LAST = "before-last"


class VachanaForm(StrEnum):
    """How Vachana's audio travels."""

    JSON = "json"
    BINARY = "binary"


class VachanaEnd(StrEnum):
    """What ends an utterance of Vachana's."""

    COMPLETE = "complete"
    COMPLETE_AND_CLOSE = "complete-and-close"
    CLOSE = "close"


class VachanaWav(StrEnum):
    """Where Vachana's WAV headers are."""

    PER_CHUNK = "per-chunk"
    FIRST_CHUNK = "first-chunk"
    HEADER_FIRST = "header-first"


class AfterCancel(StrEnum):
    """What Uplift still says of a cancelled utterance."""

    SILENCE = "silence"
    END = "end"
    AUDIO = "audio"


class UnknownVoice(StrEnum):
    """What Uplift says to a voice that it does not have."""

    SILENT = "silent"
    ERROR = "error"


def emulate(
    host: Annotated[str, typer.Option(help="Where to listen. Only this machine can connect to the default.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when it is ready.")] = False,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Accept only the key in the environment variable NAME."),
    ] = None,
    llm_script: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(metavar="FILE", help="What the language model answers: a JSON list of turns; - reads stdin."),
    ] = None,
    llm_token_seconds: Annotated[
        float, typer.Option(min=0.0, max=60.0, help="How long the language model takes for one token.")
    ] = 0.0,
    voice: Annotated[VoiceEngine, typer.Option(help="What speaks.")] = VoiceEngine.AUTO,
    ears: Annotated[EarsEngine, typer.Option(help="What listens.")] = EarsEngine.AUTO,
    dictation: Annotated[
        bool, typer.Option("--dictation", help="Recognise any English words, not only the demo's phrases.")
    ] = False,
    refusal: Annotated[Refusal, typer.Option(help="How a bad key is refused.")] = Refusal.VENDOR,
    handshake: Annotated[Handshake, typer.Option(help="When 60db says `connected`.")] = Handshake.AFTER_START,
    envelope: Annotated[
        Envelope, typer.Option(help="The bodies of 60db's messages: objects, or `true` where that will do.")
    ] = Envelope.OBJECT,
    context_ids: Annotated[
        ContextIds, typer.Option(help="Whether 60db says which context a message is about.")
    ] = ContextIds.SENT,
    tts_connecting: Annotated[
        bool, typer.Option("--tts-connecting", help="60db says `connecting` first on the text-to-speech socket too.")
    ] = False,
    closes_after: Annotated[
        ClosesAfter, typer.Option(help="Which closed context ends a 60db text-to-speech socket.")
    ] = ClosesAfter.LAST,
    deepdub_frames: Annotated[Frames, typer.Option(help="The frames of Deepdub's audio messages.")] = Frames.BINARY,
    deepdub_generations: Annotated[
        Generations, typer.Option(help="What Deepdub's `/ws` speaks in one generation.")
    ] = Generations.SENTENCE,
    deepdub_turn_end: Annotated[
        TurnEnd, typer.Option(help="How it ends a turn: by `isFinal`, or as older servers do without.")
    ] = TurnEnd.FINAL,
    last_audio: Annotated[
        LastAudio,
        typer.Option(help="The last audio: with the end, where the vendor allows it, or in a message before it."),
    ] = LastAudio.IN_LAST,
    vachana_form: Annotated[VachanaForm, typer.Option(help="How Vachana's audio travels.")] = VachanaForm.JSON,
    vachana_end: Annotated[
        VachanaEnd,
        typer.Option(help="What ends an utterance of Vachana's; `close` without `complete` is an error in JSON."),
    ] = VachanaEnd.COMPLETE,
    vachana_wav: Annotated[
        VachanaWav, typer.Option(help="WAV headers: on every chunk, on the first, or in a message before it.")
    ] = VachanaWav.PER_CHUNK,
    vachana_odd_splits: Annotated[
        bool, typer.Option("--vachana-odd-splits", help="Cut Vachana's audio messages in the middle of a sample.")
    ] = False,
    uplift_after_cancel: Annotated[
        AfterCancel, typer.Option(help="What Uplift still says of a cancelled utterance.")
    ] = AfterCancel.SILENCE,
    uplift_unknown_voice: Annotated[
        UnknownVoice, typer.Option(help="What Uplift says to a voice that it does not have.")
    ] = UnknownVoice.SILENT,
    max_contexts: Annotated[
        int | None, typer.Option(min=1, help="Refuse more utterances at once on one connection.")
    ] = None,
    pace: Annotated[
        float, typer.Option(min=0.0, help="How much faster than real time audio is sent; 0: at once.")
    ] = 0.0,
    chunk_seconds: Annotated[float, typer.Option(min=0.01, max=10.0, help="The length of one audio message.")] = 0.2,
    no_credit: Annotated[bool, typer.Option("--no-credit", help="Every account is out of credit.")] = False,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE][@N]", help="Do something wrong to all clients; `help` lists what; may be repeated."
        ),
    ] = None,
) -> None:
    """Serve every vendor's protocol on this machine, with a real voice and real ears. No network, no key.

    Any key is accepted that is not empty and does not begin with "bad", so that a refusal can be tried too.
    """
    from voicecore.emulator import Profile
    from voicecore.emulator.faults import parse_fault
    from voicecore.emulator.replies import parse_script

    if "help" in (fault or ()):
        _list_faults()
        return
    profile = Profile(
        key=_key(key_env),
        refusal=_underscored(refusal),
        no_credit=no_credit,
        llm_script=() if llm_script is None else parse_script(llm_script.read()),
        llm_token_seconds=llm_token_seconds,
        max_contexts=max_contexts,
        chunk_seconds=chunk_seconds,
        pace=pace,
        deepdub_frames=_underscored(deepdub_frames),
        deepdub_generations=_underscored(deepdub_generations),
        deepdub_turn_end=_underscored(deepdub_turn_end),
        last_audio=_underscored(last_audio),
        sixtydb_handshake=_underscored(handshake),
        sixtydb_envelope=_underscored(envelope),
        sixtydb_context_ids=_underscored(context_ids),
        sixtydb_tts_connecting=tts_connecting,
        sixtydb_closes_after=_underscored(closes_after),
        faults=tuple(map(parse_fault, fault or ())),
        vachana_form=_underscored(vachana_form),
        vachana_end=_underscored(vachana_end),
        vachana_wav=_underscored(vachana_wav),
        vachana_odd_splits=vachana_odd_splits,
        uplift_after_cancel=_underscored(uplift_after_cancel),
        uplift_unknown_voice=_underscored(uplift_unknown_voice),
    )
    trio.run(_serve, profile, host, port, voice.value, ears.value, dictation, as_json)


def _list_faults() -> None:
    from voicecore.emulator.faults import FAULTS

    for name, text in FAULTS.items():
        spelling = f"{name}=VALUE" if text.startswith("=") else name
        typer.echo(f"{spelling:<16} {text.removeprefix('=')}")
    typer.echo("With @N behind it, a fault waits until N messages of audio or transcripts, or N tokens, were sent.")


def _key(variable: str | None) -> Secret | None:
    if variable is None:
        return None
    if not (text := os.environ.get(variable)):
        raise ConfigurationError(f"--key-env: the environment variable {variable} is not set")
    return Secret(text)


def _underscored(choice: StrEnum) -> Any:
    """The profile's spelling of a choice."""
    return choice.value.replace("-", "_")


async def _serve(profile: Profile, host: str, port: int, voice: str, ears: str, dictation: bool, as_json: bool) -> None:
    from voicecore.emulator import run_emulator

    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, nursery.cancel_scope)
        try:
            async with run_emulator(
                profile, host=host, port=port, voice=voice, ears=ears, dictation=dictation
            ) as emulator:
                _announce(emulator, as_json)
                await trio.sleep_forever()
        except* OSError as group:
            raise _cannot_listen(host, port, output.the_one(group)) from None


async def _stop_on_signal(
    scope: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Cancels everything at the first SIGINT or SIGTERM, also while clients are connected."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


def _cannot_listen(host: str, port: int, error: BaseException) -> ConnectionFailedError:
    why = getattr(error, "strerror", None) or str(error)
    return ConnectionFailedError(f"cannot listen on {host}:{port}: {why}")


def _announce(emulator: Emulator, as_json: bool) -> None:
    if as_json:
        output.print_json({"ready": True, "urls": emulator.urls})
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]voicecore emulator[/bold]")
    for title, text in banner(emulator):
        console.print(f"  [dim]{title:<6}[/dim] {text}", markup=True)
    for name, url in emulator.urls.items():
        console.print(f"  [cyan]{name:<16}[/cyan] {url}")
    console.print("Ctrl-C ends it.")


def banner(emulator: Emulator) -> list[tuple[str, str]]:
    """What the emulator speaks with, listens with, and lets in."""
    rule = (
        'any key that is not empty and does not begin with "bad"'
        if emulator.profile.key is None
        else "exactly the key that --key-env names"
    )
    return [("voice", describe_voice(emulator)), ("ears", describe_ears(emulator)), ("key", rule)]


def describe_voice(emulator: Emulator) -> str:
    """The engine that speaks."""
    if emulator.voice.name == TONE:
        return "a tone for each word" + _install_hint("espeakng_loader")
    return emulator.voice.name


def describe_ears(emulator: Emulator) -> str:
    """The engine that listens, and what it can understand."""
    ears = emulator.ears
    hint = _install_hint("pocketsphinx") if ears.name == DEAF else ""
    return f"{ears.name}, {ears.description}{hint}"


def _install_hint(module: str) -> str:
    """Says what to install, unless it is there and another engine was chosen."""
    return "; for more: pip install 'voicecore[emulator]'" if find_spec(module) is None else ""


def missing_engines(emulator: Emulator) -> list[str]:
    """What the emulator does without, since the extra is not installed."""
    voice = ["a voice"] if emulator.voice.name == TONE else []
    return [*voice, "ears"] if emulator.ears.name == DEAF else voice
