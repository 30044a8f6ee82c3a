"""`voicecore vendors`: the features and the errors of every dialect, by its own tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest

from voicecore import errors
from voicecore.cli.vendors import errors_page, features, wire_formats
from voicecore.events import CancelContext, Synthesize
from voicecore.protocol import Rate
from voicecore.vendors import DIALECTS
from voicecore.vendors.deepdub.open import DeepdubOpen
from voicecore.vendors.sixtydb.stt import SixtydbStt

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_every_dialect_is_listed_with_its_key_and_url(cli):
    done = cli("vendors")
    assert done.code == 0
    for dialect in DIALECTS:
        for words in (dialect.name, dialect.default_url, dialect.key_variable, dialect.options.__name__):
            assert words in done.out


def test_the_json_says_the_same(cli):
    listed = cli("vendors", "--json").json["vendors"]
    assert [entry["name"] for entry in listed] == [dialect.name for dialect in DIALECTS]
    assert listed == json.loads(json.dumps([features(dialect) for dialect in DIALECTS]))


def test_the_features_of_whole_texts_without_a_cancel():
    found = features(DeepdubOpen)
    assert (found["kind"], found["text"], found["at_once"], found["cancel"]) == ("tts", "whole", None, "none")
    assert (found["path"], found["max_characters"], found["key_in"]) == ("/open", 50_000, "upgrade")
    assert found["offers"]["mp3 22050"] == "mp3 22050 Hz 1 ch" and len(found["offers"]) == 5 * 8
    assert "mulaw 8000 Hz 1 ch" in found["wire_formats"] and "tempo" in found["option_fields"]


def test_the_features_of_a_recognition():
    found = features(SixtydbStt)
    assert (found["kind"], found["text"], found["cancel"], found["max_characters"]) == ("stt", None, None, None)
    assert [str(form) for form in wire_formats(SixtydbStt)] == ["pcm_s16le 16000 Hz 1 ch", "mulaw 8000 Hz 1 ch"]


@pytest.mark.parametrize(("drops", "message", "cancel"), [(True, None, "drop"), (False, "{}", "message")])
def test_limits_and_cancels_come_from_the_class(drops, message, cancel):
    class Limited(DeepdubOpen):
        drops_on_cancel = drops
        max_contexts = 1
        rates: ClassVar = {Synthesize: Rate(60, 60.0)}

        def encode(self, event):
            return message if isinstance(event, CancelContext) else super().encode(event)

    found = features(Limited)
    assert (found["cancel"], found["at_once"], found["rates"]) == (cancel, 1, {"Synthesize": [60, 60.0]})


def test_every_code_has_its_class(cli):
    rows = cli("vendors", "--errors", "--json").json["errors"]
    assert len(rows) == sum(len(dialect.errors) + len(dialect.error_texts) for dialect in DIALECTS)
    assert {"RateLimit", "INSUFFICIENT_CREDITS"} <= {row.get("code") for row in rows}
    for row in rows:
        assert row["retryable"] is getattr(errors, row["class"]).retryable
    shown = cli("vendors", "--errors").out
    assert all(row.get("code", row.get("words")) in shown for row in rows)


def test_the_committed_page_is_up_to_date(cli):
    assert cli("vendors", "--errors", "--markdown").out == errors_page(DIALECTS)
    assert PAGE.read_text() == errors_page(DIALECTS), "docs/errors.md: run `make docs`"


def test_the_page_says_what_a_refused_chat_is():
    chat = errors_page(DIALECTS).partition("## 60db-llm")[2].partition("## ")[0]
    for status, kind in [
        (401, "AuthError"),
        (402, "QuotaError"),
        (429, "RateLimitError"),
        (503, "VendorUnavailableError"),
    ]:
        assert f"| `{status}` | `{kind}` |" in chat


@pytest.mark.parametrize("wrong", [["--markdown"], ["--errors", "--markdown", "--json"]])
def test_markdown_is_a_page_of_errors(cli, wrong):
    done = cli("vendors", *wrong)
    assert done.code == 2 and "--markdown" in done.out + done.err
