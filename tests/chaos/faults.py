"""Every fault there is."""

from tests.chaos.fault import Fault
from tests.chaos.kills import COORDINATOR, HOSPITAL
from tests.chaos.lines import LINES
from tests.chaos.steering import STEERING
from tests.chaos.troubles import TROUBLES

FAULTS: tuple[Fault, ...] = (*HOSPITAL, *COORDINATOR, *LINES, *TROUBLES, *STEERING)
