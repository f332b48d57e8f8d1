"""What asking an engine came to: is it to blame, and may another one be asked?

    outcome         the engine's fault   another engine   what it was
    SERVED          no                   –                an answer
    FAILED          yes: circuit breaker if nothing was   no connection, a reset, 5xx, a timeout, nonsense
                                         sent on yet
    BUSY            no: set aside        yes              429 that waiting mends: 1302, 1303, 1305 …
    MISCONFIGURED   no: set aside        yes              401 to 405, 415: ours to mend, and nobody generated a thing
    REFUSED         no                   no               a sound answer to this request: 4xx, 1113, 1301, 1308 …; or
                                                          it was one credential of several that was refused
    LEFT            no                   no               the client is gone

Rule: only FAILED ever counts against an engine. One that refuses, is busy or is asked wrongly works.
"""

from enum import Enum


class Outcome(Enum):
    """How one request to one engine ended."""

    SERVED = "served"
    FAILED = "failed"
    BUSY = "busy"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"
    LEFT = "left"
