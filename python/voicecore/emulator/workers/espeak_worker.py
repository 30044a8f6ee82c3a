"""espeak-ng as a worker process: text in, 16-bit mono PCM out, piece by piece.

espeak-ng is GPL-3 and is loaded here and nowhere else, by ctypes; voicecore talks to it over a pipe. The calls
and constants follow espeak-ng's `speak_lib.h`.

The library keeps state between utterances (the phase of its oscillators, its random numbers), so the same text
would sound a little different each time. It is loaded afresh for each text, which costs 3 ms.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import espeakng_loader  # type: ignore[import-untyped,import-not-found,unused-ignore]

if TYPE_CHECKING:
    from voicecore.emulator.workers.framing import Answer, Emit, Frame, Header, serve
else:  # run as a script: this folder is the path, and voicecore is not on it
    from framing import Answer, Emit, Frame, Header, serve

AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POS_CHARACTER = 1
RATE_PARAMETER = 1
OK = 0
BUFFER_MS = 0  # the library's default of 60 ms

MIN_WORDS_PER_MINUTE, MAX_WORDS_PER_MINUTE = 80, 450
# A higher, clearer voice than espeak's default: the recogniser beside it understands it much better.
VARIANT = "+f2"
ENGLISH = "en-us"
ALIASES = {
    "en": ENGLISH,
    "en-gb": "en-gb-x-rp",
    "en-uk": "en-gb-x-rp",
    "zh": "cmn",
    "no": "nb",
    "fil": ENGLISH,
    "iw": "he",
}

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class EspeakError(RuntimeError):
    """A call of the library that failed."""


def start(setup: Header) -> tuple[Header, Answer]:
    with loaded() as (library, sample_rate):
        library.espeak_Info.restype = ctypes.c_char_p
        version = library.espeak_Info(None).decode()
    major_minor = ".".join(version.split()[0].split(".")[:2])
    return {"name": f"espeak-ng {major_minor}", "sample_rate": sample_rate}, answer


@contextmanager
def loaded() -> Iterator[tuple[ctypes.CDLL, int]]:
    """A fresh copy of the library, initialised, with its sample rate."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data = espeakng_loader.get_data_path().encode()
    try:
        rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, data, INITIALIZE_DONT_EXIT)
        if rate <= 0:
            raise EspeakError(f"espeak_Initialize failed with {rate} for the data in {data!r}")
        yield library, rate
        library.espeak_Terminate()
    finally:
        unload(library)


def unload(library: ctypes.CDLL) -> None:
    dlclose = ctypes.CDLL(None).dlclose
    dlclose.argtypes = [ctypes.c_void_p]
    dlclose(library._handle)


def answer(request: Frame, emit: Emit) -> None:
    header, text = request
    with loaded() as (library, _):
        known = choose_voice(library, header["language"])
        rate = min(max(round(header["words_per_minute"]), MIN_WORDS_PER_MINUTE), MAX_WORDS_PER_MINUTE)
        library.espeak_SetParameter(RATE_PARAMETER, rate, 0)
        if emit({"kind": "voice", "known_language": known}):
            synthesize(library, text, lambda pcm: emit({"kind": "audio"}, pcm))


def choose_voice(library: ctypes.CDLL, language: str) -> bool:
    """Set the voice for a locale code such as `en-US`, `hi_IN` or `fr`; False if it had to be English."""
    for name in voice_names(language):
        if library.espeak_SetVoiceByName((name + VARIANT).encode()) == OK:
            return True
    if library.espeak_SetVoiceByName((ENGLISH + VARIANT).encode()) != OK:
        raise EspeakError(f"espeak-ng has no voice {ENGLISH + VARIANT!r}")
    return False


def voice_names(language: str) -> list[str]:
    code = language.replace("_", "-").lower()
    base = code.partition("-")[0]
    names = [ALIASES.get(code, code), ALIASES.get(base, base)]
    # espeak takes a path for a voice name; a language code is letters, digits and hyphens
    return [name for name in names if name.replace("-", "").isalnum() and name.isascii()]


def synthesize(library: ctypes.CDLL, text: bytes, deliver: Callable[[bytes], bool]) -> None:
    """Read the UTF-8 `text` aloud. It is plain text: neither SSML nor phoneme codes are interpreted."""

    def on_audio(samples: Any, count: int, events: object) -> int:
        if not samples or count <= 0:
            return 0
        return 0 if deliver(ctypes.string_at(samples, 2 * count)) else 1  # 1 stops the synthesis

    callback = Callback(on_audio)  # held here for as long as the library may call it
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    data = text.replace(b"\0", b" ") + b"\0"
    size = ctypes.c_size_t(len(data))
    code = library.espeak_Synth(data, size, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
    if code != OK:
        raise EspeakError(f"espeak_Synth failed with code {code}")


if __name__ == "__main__":
    serve(start)
