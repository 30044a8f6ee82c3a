"""For tests: faults between any client and any server, and what a test of a vendor's file needs."""

from voicecore.testing.conformance import Case as Case
from voicecore.testing.conformance import conformance_cases as conformance_cases
from voicecore.testing.proxy import FaultProxy as FaultProxy
from voicecore.testing.proxy import Faults as Faults
from voicecore.testing.proxy import run_fault_proxy as run_fault_proxy
from voicecore.testing.talk import Talk as Talk
from voicecore.testing.wire import Wire as Wire
