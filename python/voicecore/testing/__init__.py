"""For tests of applications: faults between any client and any server."""

from voicecore.testing.proxy import FaultProxy as FaultProxy
from voicecore.testing.proxy import Faults as Faults
from voicecore.testing.proxy import run_fault_proxy as run_fault_proxy
