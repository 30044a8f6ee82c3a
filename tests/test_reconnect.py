"""The reconnect policy by the second, with chance as an argument."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicecore.errors import AuthError, ConfigurationError, ConnectionFailedError, ConnectionLostError, RateLimitError
from voicecore.reconnect import Backoff, ConnectLimiter, Reconnect

LOST = ConnectionLostError("lost")


def latest(low: float, high: float) -> float:
    return high


def test_the_longest_delay_doubles_up_to_its_cap():
    backoff = Backoff(Reconnect(attempts=8, per_minute=100), latest)
    assert [backoff.delay(LOST, 0.0) for _ in range(8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(st.integers(0, 2**32))
def test_full_jitter_is_anywhere_from_zero(seed):
    backoff = Backoff(Reconnect(attempts=5), random.Random(seed).uniform)
    for longest in (0.25, 0.5, 1.0, 2.0, 4.0):
        assert 0.0 <= backoff.delay(LOST, 0.0) <= longest


def test_attempts_in_a_row_end():
    backoff = Backoff(Reconnect(attempts=2), latest)
    assert [backoff.delay(LOST, 0.0) for _ in range(3)] == [0.25, 0.5, None]


def test_useful_work_starts_the_row_again_and_a_handshake_does_not():
    backoff = Backoff(Reconnect(attempts=1), latest)
    assert backoff.delay(LOST, 0.0) == 0.25
    assert backoff.delay(LOST, 5.0) is None
    backoff.succeeded()
    assert backoff.delay(LOST, 6.0) == 0.25


@pytest.mark.fault(2, "every")
def test_a_connection_that_works_a_while_and_drops_for_ever_ends_by_the_budget():
    """Fault 2 of the field: each connection lives six seconds, so no breaker on handshakes ever trips."""
    backoff, now, opened = Backoff(Reconnect(per_minute=6, lifetime=50), latest), 0.0, 0
    while (wait := backoff.delay(LOST, now)) is not None:
        backoff.succeeded()
        now += wait + 6.0
        opened += 1
    assert opened == 6
    for _ in range(1000):
        now += 61.0
        if backoff.delay(LOST, now) is not None:
            opened += 1
        backoff.succeeded()
    assert opened == 50


@pytest.mark.parametrize("error", [AuthError("no"), *(ConnectionLostError("x", code) for code in (1008, 1002))])
def test_terminal_errors_are_never_retried(error):
    error.retryable = False
    assert Backoff(Reconnect(), latest).delay(error, 0.0) is None


def test_what_the_vendor_asks_for_is_waited_and_jitter_comes_on_top():
    error = RateLimitError("slow down")
    error.retry_after = 7.0
    assert Backoff(Reconnect(), latest).delay(error, 0.0) == 7.25


def test_no_attempts_means_none():
    assert Backoff(Reconnect(attempts=0)).delay(ConnectionFailedError("x"), 0.0) is None


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": -1}, {"per_minute": 1.5}, {"lifetime": True}, {"base": 0}, {"cap": float("inf")}, {"cap": "1"}],
)
def test_a_bad_policy_is_refused_by_name(wrong):
    with pytest.raises(ConfigurationError, match=f"reconnect.{next(iter(wrong))}"):
        Reconnect(**wrong)


def test_a_host_gets_a_burst_then_a_steady_flow_and_others_their_own():
    limiter = ConnectLimiter(per_second=10, burst=3)
    assert [round(limiter.reserve("a", 0.0), 9) for _ in range(6)] == [0.0, 0.0, 0.0, 0.1, 0.2, 0.3]
    assert limiter.reserve("b", 0.0) == 0.0
    assert limiter.reserve("a", 10.0) == 0.0


def arrivals(clients: int, *, failing_until: float) -> list[float]:
    """When `clients`, all cut off at second 0, knock at a server that is back at `failing_until`."""
    chance, times = random.Random(5), []
    for _ in range(clients):
        backoff, now = Backoff(Reconnect(attempts=20, per_minute=100), chance.uniform), 0.0
        while (wait := backoff.delay(LOST, now)) is not None:
            now += wait
            times.append(now)
            if now >= failing_until:
                break
    return times


@pytest.mark.fault(5, "every")
def test_a_thousand_clients_do_not_come_back_at_once():
    times = arrivals(1000, failing_until=5.0)
    back = sorted(time for time in times if time >= 5.0)
    assert len(back) == 1000
    tenths = [sum(5.0 + i / 10 <= time < 5.1 + i / 10 for time in back) for i in range(80)]
    assert max(tenths) < 50, "a tenth of a second got more than a twentieth of them"
