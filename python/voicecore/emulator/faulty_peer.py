"""A client of the emulator to whom everything is said with faults."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from trio_websocket import WebSocketConnection

from voicecore.emulator.faults import EmulatorFault
from voicecore.emulator.peer import Gone, Peer
from voicecore.emulator.worker import EngineError
from voicecore.events import Audio, Event, Transcript
from voicecore.protocol import Protocol


class FaultyPeer(Peer):
    """A peer whose every message goes through the faults."""

    def __init__(self, socket: WebSocketConnection, protocol: Protocol, faults: Sequence[EmulatorFault]) -> None:
        super().__init__(socket, protocol)
        self._faults = faults
        self._said = 0
        self._held: dict[str, Audio] = {}

    async def say(self, event: Event) -> None:
        """Says an event, unless a fault has it otherwise."""
        if not isinstance(event, (Audio, Transcript)):
            if held := self._held.pop(getattr(event, "context_id", None) or "", None):
                await super().say(held)
            await super().say(event)
            return
        for fault in self._faults:
            if not await self._pass(fault, event):
                self._said += 1
                return
        self._said += 1
        await super().say(event)

    async def hear(self) -> Event:
        """The next event of the client, as `Peer.hear`; with the fault `idle`, within its seconds."""
        limit = next((fault.value for fault in self._faults if fault.name == "idle"), float("inf"))
        with trio.move_on_after(limit):
            return await super().hear()
        await self.close(1011, "idle timeout")
        raise Gone

    async def _pass(self, fault: EmulatorFault, event: Audio | Transcript) -> bool:
        """Makes a fault whose turn it is; False when the event is not to be said any more."""
        due = self._said == (fault.after or 0)
        match fault.name:
            case "late" if due:
                await trio.sleep(fault.value)
            case "slow":
                await trio.sleep(fault.value)
            case "stall" if self._said >= (fault.after or 0):
                await trio.sleep_forever()
            case "close" if due:
                await self.close(int(fault.value), "a fault of the emulator")
                raise Gone
            case "drop" if due:
                raise Gone
            case "error" if due:
                raise EngineError("a fault of the emulator")
            case "garbage" if due:
                await self.say_raw("{garbage")
            case "truncate" if due:
                await self._cut(event)
                return False
            case "duplicate" if isinstance(event, Audio):
                await super().say(event)
            case "lose" if due and isinstance(event, Audio):
                return False
            case "reorder" if isinstance(event, Audio):
                return await self._swap(event)
        return True

    async def _cut(self, event: Event) -> None:
        message = self.protocol.send(event)
        if message is not None:
            await self.say_raw(message[: len(message) * 2 // 3])

    async def _swap(self, event: Audio) -> bool:
        """Holds one back until the next was said."""
        held = self._held.pop(event.context_id, None)
        if held is None:
            self._held[event.context_id] = event
            return False
        await super().say(event)
        await super().say(held)
        return False
