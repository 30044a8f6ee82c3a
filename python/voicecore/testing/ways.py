"""The ways through a conversation: a dialect's variants, whole lives, and every place that its tables lead to."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from voicecore.connection import Phase
from voicecore.errors import MessageError, ProtocolError
from voicecore.events import Event, LeaveContext, SendAudio, SpeechStarted
from voicecore.protocol import Dialect, Role
from voicecore.testing.talk import BY_ITSELF, A, B, Step, Talk

Make = Callable[[], Dialect]
Path = tuple[Step, ...]


def variants(dialect: type[Dialect]) -> Iterator[tuple[str, Make]]:
    """The dialect as it is, and with each of its constructor's switches turned: alone or, where an utterance then has
    no end, with the first other one that gives it one."""
    yield dialect.name, dialect
    turned = [{name: choice} for name, choices in _switches(dialect) for choice in choices]
    for one in turned:
        others = [one | other for other in turned if not one.keys() & other.keys()]
        switches = next((both for both in [one, *others] if _comes_to_an_end(partial(dialect, **both))), one)
        shown = ",".join(f"{name}={choice}" for name, choice in switches.items())
        yield f"{dialect.name}-{shown}", partial(dialect, **switches)


def _switches(dialect: type[Dialect]) -> Iterator[tuple[str, list[Any]]]:
    """The constructor's arguments that are a choice, with what is not their default."""
    hints = get_type_hints(dialect.__init__)
    for name, parameter in inspect.signature(dialect).parameters.items():
        hint = hints.get(name)
        listed = get_args(hint) if get_origin(hint) is Literal else ()
        choices = (True, False) if hint is bool else listed
        yield name, [choice for choice in choices if choice != parameter.default]


def _comes_to_an_end(make: Make) -> bool:
    """False if the server has no way to end an utterance; any other fault is for the cases to find."""
    try:
        talk = Talk(make())
        if talk.dialect.kind == "tts":
            talk.greet()
            utter(talk, A)
    except AssertionError:
        return False
    except Exception:  # noqa: BLE001 - whatever it is, the other dialects' cases are to be listed
        return True
    return True


# --- the places of a conversation ------------------------------------------------------------------------


@cache
def places(make: Make) -> tuple[Path, ...]:
    """The shortest way to every pair of states (ours and the server's) that a conversation with one context reaches."""
    found: dict[Any, Path] = {where_of(Talk(make())): ()}
    todo = deque(found.values())
    while todo:
        path = todo.popleft()
        for step in _steps(replay(make, path)):
            talk = replay(make, path)
            if talk.do(step) and talk.connection.phase is Phase.OPEN and where_of(talk) not in found:
                found[where_of(talk)] = (*path, step)
                todo.append((*path, step))
    return tuple(found.values())


def where_of(talk: Talk) -> tuple[Any, ...]:
    return talk.client.session_state, talk.state(), talk.server.session_state, talk.server_state()


def _steps(talk: Talk) -> Iterator[Step]:
    """What the tables let either side do here."""
    if not talk.connection.usable:
        return
    dialect, state = talk.dialect, talk.state()
    steps = [Step(kind) for kind in dialect.sessions.get(talk.client.session_state, {})]
    if state is not None and talk.connection.ready:
        steps += [Step(kind, A) for kind in dialect.contexts.get(state, {})]
    yield from (step for step in steps if step.kind not in BY_ITSELF)
    yield Step(None)


def replay(make: Make, path: Path, **arguments: Any) -> Talk:
    talk = Talk(make(), **arguments)
    for step in path:
        assert talk.do(step), f"{step} is not possible again"
    return talk


# --- whole lives ---------------------------------------------------------------------------------------------


def life(make: Make, **arguments: Any) -> Talk:
    """A whole conversation: for text-to-speech two utterances, at once where the socket takes them."""
    talk = Talk(make(), **arguments)
    talk.greet()
    if talk.dialect.kind == "stt":
        _recognise(talk)
        return talk
    if multiplexes(make):
        _interleave(talk)
        return talk
    for context_id in (A, B):
        if talk.connection.has_room:
            utter(talk, context_id)
            talk.send(LeaveContext(context_id))
    return talk


@cache
def multiplexes(make: Make) -> bool:
    """True if two contexts can be at work on one socket, and the server's messages tell which they are about."""
    talk = Talk(make())
    talk.greet()
    utter(talk, A)
    heard = [decoded(make(), message, Role.CLIENT) for event, message in talk.said if hasattr(event, "context_id")]
    return takes_several(make()) and all(getattr(event, "context_id", A) == A for event in heard)


def takes_several(dialect: Dialect) -> bool:
    return dialect.max_contexts is None or dialect.max_contexts > 1


def utter(talk: Talk, context_id: str) -> None:
    talk.ask(context_id)
    talk.speak(context_id, context_id)
    talk.finish(context_id)


def _interleave(talk: Talk) -> None:
    talk.ask(A)
    talk.speak(A)
    talk.ask(B)
    talk.speak(B, A, B)
    talk.finish(A)
    talk.speak(B)
    talk.finish(B)


def _recognise(talk: Talk) -> None:
    talk.start()
    for _ in range(3):
        talk.send(talk.sample(SendAudio, None))  # type: ignore[arg-type] # it is a client's
    talk.say(SpeechStarted(0.5))
    talk.transcribe(is_final=False)
    assert talk.transcribe(is_final=True), "the server cannot say a final transcript"
    talk.stop()


def decoded(dialect: Dialect, message: str | bytes, role: Role) -> Event | None:
    """The event; None for a message that is refused as it should be."""
    payload = message.encode() if isinstance(message, str) else message
    try:
        return dialect.decode(payload, text=isinstance(message, str), role=role)
    except (MessageError, ProtocolError):
        return None
