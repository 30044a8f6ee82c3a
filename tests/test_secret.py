"""A key that does not show itself, and URLs as they may be shown."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
import traceback

import pytest

from voicecore.connection import Connection
from voicecore.protocol import Protocol, Role
from voicecore.secret import Secret, without_query
from voicecore.vendors import DIALECTS

KEY = "key-that-must-not-show"


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        format,
        "{}".format,
        "{!r}".format,
        "%s".__mod__,
        "%r".__mod__,
        lambda secret: f"{secret}",
        lambda secret: repr([secret]),
        lambda secret: repr({"key": secret}),
        lambda secret: repr(dataclasses.make_dataclass("Settings", ["key"])(secret)),
        ascii,
    ],
)
def test_no_way_to_print_it_shows_it(show):
    assert KEY not in show(Secret(KEY)) and "***" in show(Secret(KEY))


def test_a_width_shows_nothing_either():
    with pytest.raises(TypeError) as caught:
        f"{Secret(KEY):>40}"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("out", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, lambda key: pickle.dumps([key])])
def test_it_cannot_be_written_out_or_copied(out):
    with pytest.raises(TypeError) as caught:
        out(Secret(KEY))
    assert KEY not in str(caught.value)


def test_it_has_no_dict_to_look_into():
    assert not hasattr(Secret(KEY), "__dict__")


def test_only_reveal_gives_it():
    assert Secret(KEY).reveal() == KEY


AWKWARD = "k\"ey/\\<with>&+=odd~signs'"


@pytest.mark.parametrize(
    "spell",
    [
        json.dumps,
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("<", "\\u003c").replace("=", "\\u003D"),
        lambda text: '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"',
    ],
)
def test_a_text_is_hidden_however_json_escapes_it(spell):
    said = f'{{"a\\n": {spell("so " + AWKWARD + " it is")}}}'
    assert json.loads(said) == {"a\n": f"so {AWKWARD} it is"}
    assert json.loads(Secret(AWKWARD).hidden_in(said.encode())) == {"a\n": "so *** it is"}


def test_equal_texts_are_equal_secrets():
    assert Secret(KEY) == Secret(KEY) and hash(Secret(KEY)) == hash(Secret(KEY))
    assert Secret(KEY) != Secret("other") and Secret(KEY) != KEY
    assert hash(Secret(KEY)) != hash(KEY)


def shown_with_locals(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def test_a_traceback_with_locals_shows_stars():
    def fails(secret: Secret) -> None:
        held = [secret]
        raise ValueError(held)

    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        fails(Secret(KEY))
    shown = shown_with_locals(caught.value)
    assert "secret = Secret(***)" in shown and KEY not in shown.replace(f'Secret("{KEY}")', "")


@pytest.mark.fault(20)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_of_the_connection_with_locals_shows_no_key(dialect, caplog):
    caplog.set_level(logging.DEBUG)
    secret = Secret(KEY)
    connection = connection_of(dialect(), secret)
    connection.start(0.0)
    connection.data_to_send(0.0)
    connection.receive_data(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", 1.0)
    try:
        connection.take()
    except Exception as error:
        shown = shown_with_locals(error)
    assert "401" in shown and KEY not in shown
    assert KEY not in caplog.text


def connection_of(dialect, secret: Secret) -> Connection:
    return Connection(Protocol(dialect, Role.CLIENT), *dialect.upgrade(dialect.default_url, secret))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://h.test/ws/stt?apiKey=secret", "wss://h.test/ws/stt"),
        ("wss://h.test/ws/stt?apiKey=secret#part", "wss://h.test/ws/stt"),
        ("wss://h.test/ws/stt#secret?x", "wss://h.test/ws/stt"),
        ("wss://user:secret@h.test:9/ws", "wss://h.test:9/ws"),
        ("wss://user:se@cret@h.test/ws", "wss://h.test/ws"),
        ("wss://h.test", "wss://h.test"),
        ("wss://h.test?secret", "wss://h.test"),
        ("wss://h.test/a@b", "wss://h.test/a@b"),
        ("h.test/ws?secret", "h.test/ws"),
        ("user:secret@h.test/ws", "h.test/ws"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_query_fragment_and_user(url, shown):
    assert without_query(url) == shown
