"""What an outsider's doing may not end: an unknown fault becomes an incident id, and work goes on.

A task of the node that dies ends the node. A server, an engine or a peer decides what comes out of
the code that speaks to it; so that code is run in here, once for each of them (`contained`). It is
for work whose failure leaves nothing open: what is denied stays denied, and it is tried again.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from gatelodge.core.errors import Broken, HouseError, fault_leaves, name_of_fault
from gatelodge.ports.world import FreshIds

log = logging.getLogger(__name__)


class ContainedWork:
    """What became of the work in a block."""

    failed = False
    incident = ""
    """Its id in the log, where nobody thought of the fault."""


@contextmanager
def contained(work: str, ids: FreshIds) -> Iterator[ContainedWork]:
    """Tell of what fails in the block, and go on behind it; `work` says in the log what it was.

    Raises what says that an invariant of ours is gone (Broken): that ends the node.
    """
    found = ContainedWork()
    try:
        yield found
    except Exception as fault:
        if any(isinstance(each, Broken) for each in fault_leaves(fault)):
            raise
        found.failed = True
        if isinstance(fault, HouseError):
            log.warning("%s failed: %s", work, fault.detail)
            return
        found.incident = ids.new("inc")
        # Types and places alone: words may hold what somebody sent.
        name = name_of_fault(fault)
        log.exception("incident %s (%s): %s", found.incident, work, name)
