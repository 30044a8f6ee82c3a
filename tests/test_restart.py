"""The bench of a restart under many clients, with fewer of them: they all come back, and not at once."""

from __future__ import annotations

from collections import Counter

import pytest
from benches.restart import DOWN_SECONDS, POLICY, simulate

CLIENTS = 200


@pytest.mark.fault(5, "deepdub-open")
def test_clients_of_a_vendor_that_restarts_come_back_spread_out():
    asked, served = simulate(CLIENTS, seed=1)
    assert len(served) == CLIENTS, "some gave up though the policy lets them go on"
    assert min(served) >= DOWN_SECONDS
    back = [at for at in asked if at >= DOWN_SECONDS]
    assert max(Counter(int(at * 10) for at in back).values()) <= CLIENTS * 0.08, "a tenth of a second got too many"
    assert max(Counter(int(at) for at in back).values()) <= CLIENTS * 0.35
    assert len(asked) <= CLIENTS * POLICY.attempts
