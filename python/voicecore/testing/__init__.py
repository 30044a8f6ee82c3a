"""What a test of a vendor's file needs: the server's end of a connection, and a suite that any dialect must pass."""

from voicecore.testing.conformance import Case as Case
from voicecore.testing.conformance import conformance_cases as conformance_cases
from voicecore.testing.talk import Talk as Talk
from voicecore.testing.wire import Wire as Wire
