"""`voicecore vendors`: what each vendor's protocols can do, and what their errors mean, by the dialects' own tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import groupby, product
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voicecore.audio import AudioFormat
from voicecore.cli import output
from voicecore.errors import ConfigurationError, VendorError, VoicecoreError
from voicecore.events import CancelContext, Failed

if TYPE_CHECKING:
    from voicecore.protocol import Dialect

EPILOG = output.epilog(
    ("voicecore vendors", "every protocol, with its features and limits"),
    ("voicecore vendors --json", ""),
    ("voicecore vendors --errors", "vendor code, our class, and whether a retry may help"),
    after=output.EXIT_CODES,
)
KINDS = {"tts": "text to speech", "stt": "speech to text"}
CANCELS = {
    "message": "by a message",
    "drop": "by the end of the connection, where nobody else is served on it",
    "none": "none: late audio is dropped here",
}
ENCODINGS = ("pcm_s16le", "pcm_f32le", "mulaw", "alaw")
RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 36_000, 44_100, 48_000)
MESSAGES = {"Synthesize": "requests", "OpenContext": "contexts", "SendText": "texts", "CancelContext": "cancels"}
STATUSES = (400, 401, 402, 403, 404, 429, 500, 503)
CHAT_STATUSES = (302, *STATUSES)
Row = tuple[str, str, bool, float | None]  # what the vendor said, our class, retryable, retry_after


def vendors(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="What the vendors' error codes mean.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="With --errors: as the page docs/errors.md.")] = False,
) -> None:
    """List every vendor and protocol with its features and limits. No network, no key."""
    from voicecore.vendors import DIALECTS

    if markdown and (as_json or not errors):
        raise ConfigurationError("--markdown: expected with --errors and without --json")
    if markdown:
        print(errors_page(DIALECTS), end="")
    elif errors and as_json:
        output.print_json({"errors": list(_errors_json(DIALECTS))})
    elif errors:
        _print_errors(DIALECTS)
    elif as_json:
        output.print_json({"vendors": [features(dialect) for dialect in DIALECTS]})
    else:
        _print_features(DIALECTS)


# --- features --------------------------------------------------------------------------------------------


def features(dialect: type[Dialect]) -> dict[str, Any]:
    """What a dialect can do, as JSON."""
    speaks = dialect.kind == "tts"
    return {
        "vendor": dialect.vendor,
        "name": dialect.name,
        "kind": dialect.kind,
        "path": dialect.path(),
        "url": dialect.default_url,
        "key_variable": dialect.key_variable,
        "url_variable": dialect.url_variable,
        "key_in": "message" if dialect.key_in_band else "upgrade",
        "options": dialect.options.__name__,
        "option_fields": [field.name for field in fields(dialect.options)],
        "wire_formats": [str(form) for form in wire_formats(dialect)],
        "offers": {asked: str(dialect().wire_format(options)) for asked, options in dialect.offers.items()},
        "text": ("bit_by_bit" if dialect.streams_text else "whole") if speaks else None,
        "at_once": dialect.max_contexts if speaks else 1,
        "requests_per_connection": dialect.max_requests,
        "cancel": _cancel(dialect) if speaks else None,
        "max_characters": dialect.max_text if speaks else None,
        "rates": {kind.__name__: [rate.messages, rate.seconds] for kind, rate in dialect.rates.items()},
    }


def _cancel(dialect: type[Dialect]) -> str:
    if dialect.drops_on_cancel:
        return "drop"
    return "none" if dialect().encode(CancelContext("a")) is None else "message"


def wire_formats(dialect: type[Dialect]) -> list[AudioFormat]:
    """The formats that it picks for what a caller may want."""
    wanted = (AudioFormat(encoding, rate) for encoding, rate in product(ENCODINGS, RATES))  # type: ignore[arg-type]
    chosen = {dialect().wire_format(dialect().options_for(dialect.options(), form)) for form in wanted}
    return sorted(chosen, key=_order)


def _order(form: AudioFormat) -> tuple[bool, str, str, int]:
    return form.encoding != "pcm_s16le", form.encoding, form.container, form.sample_rate


def offered(dialect: type[Dialect]) -> list[AudioFormat]:
    """Every format that the vendor sends when it is asked for it."""
    return sorted({dialect().wire_format(options) for options in dialect.offers.values()}, key=_order)


def _print_features(dialects: Iterable[type[Dialect]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for dialect in dialects:
        console.print(f"[bold]{dialect.name}[/bold]  {dialect.vendor}, {KINDS[dialect.kind]}")
        for title, text in _lines(dialect, features(dialect)):
            console.print(f"  [dim]{title:<7}[/dim] {text}", markup=True)


def _lines(dialect: type[Dialect], found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "url", found["url"]
    yield "key", f"{found['key_variable']}, in {'a message' if found['key_in'] == 'message' else 'the upgrade request'}"
    if found["kind"] == "tts":
        text = "bit by bit" if found["text"] == "bit_by_bit" else "whole texts"
        yield "text", f"{text}, at most {found['max_characters']:,} characters"
        several = f"{found['at_once']} on a connection, with more connections for more"
        yield "at once", "any number on a connection" if found["at_once"] is None else several
        yield "cancel", CANCELS[found["cancel"]]
    else:
        yield "at once", "1 on a connection"
    if found["rates"]:
        rates = found["rates"].items()
        yield "limits", ", ".join(f"{count} {MESSAGES.get(kind, kind)} in {span:g} s" for kind, (count, span) in rates)
    yield "wire", ", ".join(_grouped(found["wire_formats"]))
    if found["offers"]:
        yield "offers", ", ".join(_grouped([str(form) for form in offered(dialect)]))
    yield "options", f"{found['options']}({', '.join(found['option_fields'])})"


def _grouped(formats: list[str]) -> Iterator[str]:
    """`pcm_s16le 16000 Hz 1 ch` and its like, as one entry for an encoding."""
    split = [(form.split()[0], form.partition(" ch")[2], form.split()[1]) for form in formats]
    for (encoding, wrapped), group in groupby(split, key=lambda part: part[:2]):
        yield f"{encoding}{wrapped} ({' '.join(rate for _, _, rate in group)} Hz)"


# --- errors ----------------------------------------------------------------------------------------------


def code_rows(dialect: type[Dialect]) -> list[Row]:
    """What each code of a dialect means."""
    return [_row(code, dialect().error_of(Failed(None, code, ""))) for code in dialect.errors]


def word_rows(dialect: type[Dialect]) -> list[Row]:
    """What words in an error's text mean, where no code came."""
    return [_row(words, dialect().error_of(Failed(None, "", words))) for words in dialect.error_texts]


def _row(said: str, error: VoicecoreError) -> Row:
    return said, type(error).__name__, error.retryable, error.retry_after


def _http_rows() -> list[Row]:
    """What an answer to the upgrade other than 101 means, the same for every vendor."""
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    from voicecore.upgrade import refusal_of

    answers = (Response(status, "", Headers({"Retry-After": "7"})) for status in STATUSES)
    return [_row(str(answer.status_code), refusal_of("", "", answer)) for answer in answers]


def _chat_rows() -> list[Row]:
    """What an answer to a chat other than 200 means."""
    from voicecore import chat
    from voicecore.secret import Secret

    answers = (chat.refusal("", "", status, {"retry-after": "7"}, b"", Secret("")) for status in CHAT_STATUSES)
    return [_row(str(status), answer) for status, answer in zip(CHAT_STATUSES, answers, strict=True)]


def _errors_json(dialects: Iterable[type[Dialect]]) -> Iterator[dict[str, Any]]:
    for dialect in dialects:
        for key, rows in (("code", code_rows(dialect)), ("words", word_rows(dialect))):
            for said, kind, retryable, after in rows:
                yield {"name": dialect.name, key: said, "class": kind, "retryable": retryable, "retry_after": after}


def _print_errors(dialects: Iterable[type[Dialect]]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for names, codes, words in _by_tables(dialects):
        console.print(f"[bold]{', '.join(names)}[/bold]")
        rows: list[Row] = [*codes, *((f'"{row[0]}"', *row[1:]) for row in words)]
        width = max((len(said) for said, *_ in rows), default=0)
        for said, kind, retryable, _ in rows:
            console.print(f"  {said:<{width}}  {kind}{', retryable' if retryable else ''}", markup=False)


def _by_tables(dialects: Iterable[type[Dialect]]) -> list[tuple[list[str], list[Row], list[Row]]]:
    """The dialects' names, those with the same tables together, and the tables."""
    found: list[tuple[list[str], list[Row], list[Row]]] = []
    for dialect in dialects:
        codes, words = code_rows(dialect), word_rows(dialect)
        same = next((names for names, *tables in found if tables == [codes, words]), None)
        if same is None:
            found.append(([dialect.name], codes, words))
        else:
            same.append(dialect.name)
    return found


def errors_page(dialects: Iterable[type[Dialect]]) -> str:
    """docs/errors.md."""
    from voicecore.connection import TERMINAL_CLOSE_CODES

    parts = [
        "# Errors\n\n"
        "This page is made by `make docs` from the tables in `voicecore/vendors/`; a test holds it against them.\n\n"
        "Every error is a `voicecore.VoicecoreError`. `retryable` says whether the same request may succeed later;\n"
        "`retry_after` is the wait in seconds, where the vendor, or a limit that is kept on our side, gives one.\n\n"
        "## What the vendor said\n",
        _table("class", [(kind.__name__, _first_line(kind), kind.retryable) for kind in _kinds()], "meaning"),
        "The code decides. Where it is in no table, words in the text do; for every vendor, those of a refused key\n"
        "are an `AuthError`. All else is a `VendorError`.\n",
    ]
    for names, codes, words in _by_tables(dialects):
        parts.append(f"## {', '.join(names)}\n")
        parts += [_rows_table("vendor code", codes)] * bool(codes)
        parts += [_rows_table("words in the text", words)] * bool(words)
        parts += ["No codes are documented.\n"] * (not codes and not words)
    parts += [
        "## 60db-llm: an answer of HTTP other than 2xx\n",
        _rows_table("status", _chat_rows(), hint="the `Retry-After` header"),
        "An error in the middle of a reply counts by its code or type, where that is known, else as a\n"
        "`VendorUnavailableError`. A reply that ends without its end mark is a `ConnectionLostError`.\n",
        "## The upgrade refused by HTTP, every vendor\n",
        _rows_table("status", _http_rows(), hint="the `Retry-After` header"),
        "## The socket closed, every vendor\n",
        "Before the work is done: `ConnectionLostError` with the close `code`, retryable unless the code is\n"
        f"{_listed(sorted(TERMINAL_CLOSE_CODES))}. Closed with 1008 before the vendor said anything: `AuthError`.\n"
        'Over a limit that is kept on our side, with `on_limit="raise"`: `RateLimitError` with `retry_after`.\n',
    ]
    return "\n".join(parts)


def _listed(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} or {numbers[-1]}"


def _kinds() -> list[type[VendorError]]:
    return [VendorError, *VendorError.__subclasses__()]


def _first_line(kind: type) -> str:
    return str(kind.__doc__).partition("\n")[0]


def _table(first: str, rows: Iterable[tuple[str, str, bool]], second: str) -> str:
    head = f"| {first} | {second} | retryable |\n|---|---|---|\n"
    return head + "".join(f"| `{name}` | {text} | {_yes(retryable)} |\n" for name, text, retryable in rows)


def _rows_table(first: str, rows: Iterable[Row], hint: str = "yes") -> str:
    lines = [
        f"| `{said}` | `{kind}` | {_yes(retryable)} | {'-' if after is None else hint} |\n"
        for said, kind, retryable, after in rows
    ]
    return f"| {first} | our class | retryable | `retry_after` |\n|---|---|---|---|\n" + "".join(lines)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
