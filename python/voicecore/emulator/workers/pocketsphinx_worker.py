"""pocketsphinx as a worker process: the audio of an utterance in, its words and how well they fit out.

Every utterance is decoded whole and by itself (cepstral means over the utterance, not carried along), so the
same audio always gives the same words, whoever spoke before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pocketsphinx import Decoder  # type: ignore[import-untyped,import-not-found,unused-ignore]

if TYPE_CHECKING:
    from voicecore.emulator.workers.framing import Answer, Emit, Frame, Header, serve
else:  # run as a script: this folder is the path, and voicecore is not on it
    from framing import Answer, Emit, Frame, Header, serve

# Measured on all demo phrases in eight of espeak's voices, at 16 kHz and through 8 kHz mu-law:
# - means over the utterance ("batch") instead of running ones: mu-law goes from 4 of 12 phrases to 12 of 12;
# - the best path of the lattice prefers short phrases, so it is off;
# - the default beams lose the right path of a synthetic voice before it has come to the phrase's end;
# - fillers swallow words. The grammar says where a pause may be.
COMMON_SETTINGS = {"loglevel": "FATAL", "cmn": "batch"}
GRAMMAR_SETTINGS = {
    "lm": None,
    "bestpath": False,
    "fsgusefiller": False,
    "beam": 1e-120,
    "wbeam": 1e-120,
    "pbeam": 1e-120,
    "lw": 1.0,
}
NO_FIT = -1.0
"""A fit that is no fit: what a word's likelihood is taken for when it is too small for a float."""


def start(setup: Header) -> tuple[Header, Answer]:
    decoder = Decoder(**COMMON_SETTINGS) if setup["jsgf"] is None else grammar_decoder(setup["jsgf"], setup["pause"])

    def answer(request: Frame, emit: Emit) -> None:
        emit(recognize(decoder, request.payload, whole=request.header["whole"], ignored=setup["pause"]))

    return {}, answer


def grammar_decoder(jsgf: str, pause: str) -> Any:
    decoder = Decoder(**COMMON_SETTINGS, **GRAMMAR_SETTINGS)
    decoder.add_word(pause, "SIL", True)
    decoder.add_jsgf_string("voicecore", jsgf)
    decoder.activate_search("voicecore")
    return decoder


def recognize(decoder: Any, pcm: bytes, *, whole: bool, ignored: str) -> Header:
    """`whole`: the utterance is over, so the words must be too; else the best words up to here."""
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    if not whole:
        result = best_words(decoder, ignored)
        decoder.end_utt()
        return result
    decoder.end_utt()
    return best_words(decoder, ignored)


def best_words(decoder: Any, ignored: str) -> Header:
    best = decoder.hyp()
    if best is None:
        return {"kind": "words", "words": [], "fit": NO_FIT, "posterior": 0.0}
    segments = list(decoder.seg())
    words = [word for word in best.hypstr.split() if word != ignored]
    posterior = sum(segment.prob for segment in segments) / max(1, len(segments))
    return {"kind": "words", "words": words, "fit": fit(decoder, segments), "posterior": min(1.0, posterior)}


def fit(decoder: Any, segments: list[Any]) -> float:
    """The acoustic log likelihood per frame, as the decoder scales it; 0 is perfect."""
    likelihoods: list[float] = [segment.ascore for segment in segments]
    frames: int = max(1, decoder.n_frames())
    return sum(map(math.log, likelihoods)) / frames if all(likelihoods) else NO_FIT


if __name__ == "__main__":
    serve(start)
