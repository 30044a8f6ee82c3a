"""`cli` calls the command line in this process; `emulator` is one that runs as a process of its own."""

from collections.abc import Callable, Iterator

import pytest
from cli_harness import Result, Serving

from voicecore.cli import main


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs a command line in this process."""

    def call(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return Result(int(left.value.code or 0), said.out, said.err)

    return call


@pytest.fixture(scope="session")
def emulator() -> Iterator[Serving]:
    serving = Serving()
    try:
        yield serving
    finally:
        serving.stop()
