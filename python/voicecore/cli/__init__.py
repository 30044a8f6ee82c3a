"""The command line: `voicecore demo | emulate | say | transcribe | chat | convert | vendors`.

Each command is a file of its own; this one joins them and is the single edge at which an error becomes a line and
an exit code. What a command needs beyond its options is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from voicecore.cli import chat, convert, demo, emulate, output, say, transcribe, vendors

app = typer.Typer(
    name="voicecore",
    help="Real-time voice: every vendor's streaming protocol, a codec, and an emulator to try it all with.",
    epilog=output.epilog(
        ("voicecore demo", "speak and transcribe with no network and no key"),
        ("voicecore emulate", "serve every vendor's protocol on this machine"),
        ("voicecore say 'Hello.' --vendor deepdub --out hello.wav", ""),
        ("voicecore transcribe hello.wav --vendor 60db", ""),
        ("voicecore chat 'Hello.'", ""),
        ("voicecore convert hello.wav phone.wav --rate 8000 --encoding mulaw", ""),
        ("voicecore vendors", "what each vendor can do, and what its errors mean"),
        after=f"{output.EXIT_CODES}\n\nKeys come from the environment only, e.g. DEEPDUB_API_KEY, SIXTY_DB_API_KEY.",
    ),
    rich_markup_mode="rich",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with locals could show what nobody should see
)
app.command("demo", epilog=demo.EPILOG)(demo.demo)
app.command("emulate", epilog=emulate.EPILOG)(emulate.emulate)
app.command("say", epilog=say.EPILOG)(say.say)
app.command("transcribe", epilog=transcribe.EPILOG)(transcribe.transcribe)
app.command("chat", epilog=chat.EPILOG)(chat.chat)
app.command("convert", epilog=convert.EPILOG)(convert.convert)
app.command("vendors", epilog=vendors.EPILOG)(vendors.vendors)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"voicecore {version('voicecore')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs one command line (`sys.argv` without one) and exits with its code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    output.stdout_is_audio(False)
    try:
        status = app(arguments, prog_name="voicecore", standalone_mode=False) or output.OK
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - the edge of the process; a bug is raised again
        status = output.fail(error, as_json="--json" in arguments)
    sys.exit(status)
