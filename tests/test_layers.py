"""Arrows never point back: who may import whom, read from the source, transitively."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from support.layers import MODULES, SANS_IO

IO = {
    "trio",
    "asyncio",
    "socket",
    "ssl",
    "select",
    "selectors",
    "threading",
    "subprocess",
    "anyio",
    "sniffio",
    "httpx2",
}
CLOCKS = {"time", "datetime", "sched"}
FILES = {"os", "pathlib", "tempfile", "shutil"}
# What the sessions are made of: written once, for any runtime.
SHARED = [
    *("voicecore.backend", "voicecore.link", "voicecore.recognition", "voicecore.session"),
    *("voicecore.speech", "voicecore.transport"),
]
ON_TRIO = {"voicecore.trio_link", "voicecore.trio_backend", "voicecore.on_trio", "voicecore.nursery"}
ON_ASYNCIO = {"voicecore.aio_link", "voicecore.aio_backend", "voicecore.aio"}
APIS = {"voicecore.http_client", "voicecore.llm", "voicecore.emulator", "voicecore.cli"}
DRIVERS = APIS | ON_TRIO | ON_ASYNCIO | set(SHARED)


def imports_of(source: str, module: str, *, package: bool) -> set[str]:
    """The modules that this source imports when it runs, `TYPE_CHECKING` blocks aside."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    parts = module.split(".")
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {origin} | {
                f"{origin}.{alias.name}" for alias in node.names if f"{origin}.{alias.name}" in MODULES
            }
    return names


@cache
def reached(module: str) -> frozenset[str]:
    """Everything that a module imports, through our own modules too (the package's front page aside)."""
    found: set[str] = set()
    todo = [module]
    while todo:
        current = todo.pop()
        path = MODULES[current]
        for name in imports_of(path.read_text(), current, package=path.name == "__init__.py"):
            if name not in found and name != "voicecore":
                found.add(name)
                todo += [name] if name in MODULES else []
    return frozenset(found)


def roots(names: frozenset[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_the_reader_sees_every_way_to_import():
    source = "import a.b\nfrom c import d\nfrom . import errors\nfrom .errors import X\ndef f():\n    import late\n"
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trio\nelse:\n    import e\n"
    found = imports_of(source + guarded, "voicecore.audio", package=False)
    assert {"a.b", "c", "voicecore.errors", "late", "e"} <= found and "trio" not in found
    assert "voicecore.vendors.options" in imports_of("from .options import x", "voicecore.vendors", package=True)
    assert "voicecore.errors" in imports_of("from voicecore import errors", "voicecore.audio", package=False)


def test_the_reader_follows_our_own_modules():
    assert "trio" in roots(reached("voicecore.on_trio")) and "voicecore.connection" in reached("voicecore.on_trio")


def test_the_list_of_layers_is_whole():
    assert set(SANS_IO) <= set(MODULES) and len(MODULES) > 20


@pytest.mark.parametrize("module", SANS_IO)
def test_a_sans_io_module_reaches_no_runtime_socket_or_thread(module):
    assert roots(reached(module)) & IO == set()


@pytest.mark.parametrize("module", SANS_IO)
def test_a_sans_io_module_reaches_no_clock_and_no_file(module):
    assert roots(reached(module)) & (CLOCKS | FILES) == set()


@pytest.mark.parametrize("module", SANS_IO)
def test_a_sans_io_module_knows_no_driver(module):
    assert not [name for name in reached(module) if any(name == d or name.startswith(d + ".") for d in DRIVERS)]


@pytest.mark.parametrize("module", SHARED)
def test_the_sessions_know_no_runtime(module):
    assert roots(reached(module)) & {"trio", "asyncio", "anyio", "sniffio"} == set()


@pytest.mark.parametrize("module", sorted(ON_TRIO | ON_ASYNCIO))
def test_a_runtime_knows_nothing_of_the_other(module):
    other = {"asyncio"} if module in ON_TRIO else {"trio", "trio_websocket"}
    assert roots(reached(module)) & other == set()
    assert reached(module) & (ON_ASYNCIO if module in ON_TRIO else ON_TRIO) == set()


@pytest.mark.parametrize("module", sorted(ON_TRIO | ON_ASYNCIO))
def test_a_driver_holds_no_protocol_logic(module):
    own = imports_of(MODULES[module].read_text(), module, package=False)
    assert not [
        name for name in own if name.startswith(("voicecore.protocol", "voicecore.events", "voicecore.vendors"))
    ]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("voicecore.vendors")])
def test_a_vendor_knows_no_connection_and_no_websocket(module):
    assert "voicecore.connection" not in reached(module) and "voicecore.streams" not in reached(module)
    assert roots(reached(module)) & {"websockets", "wsproto", "trio_websocket", "h11"} == set()


def test_vendors_do_not_know_each_other():
    files = [name for name in MODULES if name.startswith("voicecore.vendors.") and not name.endswith(".options")]
    for module in files:
        others = {name for name in files if vendor_of(name) != vendor_of(module)}
        assert not others & reached(module), module


def vendor_of(module: str) -> str:
    return module.split(".")[2]


@pytest.mark.parametrize(
    ("module", "knows_not"),
    [
        ("voicecore.errors", {"voicecore.audio", "voicecore.events", "voicecore.protocol"}),
        ("voicecore.events", {"voicecore.protocol", "voicecore.vendors", "voicecore.connection"}),
        ("voicecore.protocol", {"voicecore.vendors", "voicecore.connection"}),
        ("voicecore.connection", {"voicecore.vendors", "voicecore.codec"}),
        ("voicecore.codec", {"voicecore.events", "voicecore.protocol"}),
    ],
)
def test_arrows_never_point_back(module, knows_not):
    assert not knows_not & reached(module)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("voicecore.vendors",)])
def test_wire_names_live_in_the_vendors_file_only(module):
    if module.startswith(("voicecore.vendors", "voicecore.emulator", "voicecore.cli")) or module == "voicecore":
        return
    words = {node.value for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, ast.Constant)}
    assert not words & {
        "generationId",
        "isFinished",
        "targetText",
        "is_final",
        "session_stopped",
        "apiKey",
        "x-api-key",
    }
