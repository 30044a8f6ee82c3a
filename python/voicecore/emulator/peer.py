"""One client of the emulator: its WebSocket and the vendor's protocol in the SERVER role.

Outgoing messages go through a writer task of their own, so that cancelling whoever speaks never cuts a frame.
"""

from __future__ import annotations

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from voicecore.emulator.profile import Profile
from voicecore.events import Connecting, Event, Heartbeat, HeartbeatAnswered
from voicecore.protocol import OVER, Protocol

OUTGOING_MESSAGES = 64
CLOSE_SECONDS = 1.0


class Gone(Exception):
    """The client is not there any more."""


class Peer:
    """Say events, hear events. Run `write` in a nursery beside it."""

    def __init__(self, socket: WebSocketConnection, protocol: Protocol) -> None:
        self.protocol = protocol
        self._socket = socket
        self._outgoing, self._to_write = trio.open_memory_channel[str | bytes](OUTGOING_MESSAGES)
        self._written = trio.Event()
        self._beaten = trio.Event()  # the last heartbeat was answered

    async def say(self, event: Event) -> None:
        """Sends one event. Cancelling it sends all of it or nothing. Raises `Gone`."""
        if self.protocol.session_state in OVER and not self.protocol.allows(type(event)):
            raise Gone  # what was still on its way when the session ended has nowhere to go
        message = self.protocol.send(event)
        if message is not None:
            await self.say_raw(message)

    async def say_raw(self, message: str | bytes) -> None:
        """Sends a message as it is. Cancelling it sends all of it or nothing. Raises `Gone`."""
        try:
            await self._outgoing.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Gone from None

    async def hear(self) -> Event:
        """The next event. Raises `MessageError` or `ProtocolError` for what is none, and `Gone`."""
        while True:
            try:
                message = await self._socket.get_message()
            except ConnectionClosed:
                raise Gone from None
            text = isinstance(message, str)
            event = self.protocol.receive(message.encode() if isinstance(message, str) else message, text=text)
            if isinstance(event, HeartbeatAnswered):
                self._beaten.set()
            elif event is not None:
                return event

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Sends what is still queued, then the close frame; waits a second at most for its answer."""
        self._outgoing.close()
        with trio.move_on_after(CLOSE_SECONDS):
            await self._written.wait()
            await self._socket.aclose(code, reason)

    async def keep_alive(self, interval: float, patience: float) -> None:
        """Pings like the vendor does; a client that does not answer in time is closed."""
        ping = self._beat if self.protocol.dialect.pings_in_band else self._socket.ping
        while True:
            await trio.sleep(interval)
            try:
                with trio.fail_after(patience):
                    await ping()
            except trio.TooSlowError:
                await self.close(1011, "keepalive ping timeout")
                return
            except ConnectionClosed:
                return

    async def _beat(self) -> None:
        self._beaten = trio.Event()
        await self.say(Heartbeat())
        await self._beaten.wait()

    async def write(self) -> None:
        """The writer task; ends when `close` was called or the client is gone."""
        try:
            async with self._to_write:
                async for message in self._to_write:
                    await self._socket.send_message(message)
        except ConnectionClosed:
            pass  # whoever speaks next hears `Gone`
        finally:
            self._written.set()


async def refuse(peer: Peer, profile: Profile) -> None:
    """A refused key after the upgrade: the vendor's error, then 1008; or 1008 without a word."""
    dialect = peer.protocol.dialect
    if profile.refusal != "silent":
        for event in dialect.greeting():
            if isinstance(event, Connecting):
                await peer.say(event)
        for event in dialect.refusal():
            await peer.say(event)
    await peer.close(1008, "invalid API key")
