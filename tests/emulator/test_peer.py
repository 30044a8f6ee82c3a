"""What the emulator may still say to a client whose session is over: nothing, and without an uproar."""

from __future__ import annotations

import pytest

from voicecore.emulator.peer import Gone, Peer
from voicecore.events import Transcript
from voicecore.protocol import OVER, Protocol, Role, SessionState
from voicecore.vendors.sixtydb.stt import SixtydbStt


@pytest.mark.parametrize("state", sorted(OVER, key=lambda state: state.name))
async def test_a_transcript_still_on_its_way_when_the_session_ended_has_nowhere_to_go(state: SessionState) -> None:
    protocol = Protocol(SixtydbStt(), Role.SERVER)
    protocol.session_state = state
    peer = Peer(None, protocol)  # type: ignore[arg-type] - nothing may reach the socket
    with pytest.raises(Gone):
        await peer.say(Transcript("late", True, True))
