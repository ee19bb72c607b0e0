"""Everything shipfwd raises on purpose, named by what happens next.

ShipfwdError                         exit
├─ UsageError                         2   wrong arguments or a refused setting; nothing was done
├─ ConfigError                        3   fix the configuration, credentials or file; the integration rests
│  ├─ AuthFailed                      3   the platform refuses our credentials; the integration rests
│  └─ StoreFailed                     3   the database cannot be used; the run ends, what it holds is looked up later
├─ Interrupted                      130   a signal came; what was finished is recorded
└─ PlatformError                          about one order or shipment; raised by adapters and by http.py
   ├─ TryLater                        4   retrying; `after` seconds, when the platform said so
   │  ├─ Throttled                        too many calls (certain: not processed)
   │  ├─ Unavailable                      unreachable, 5xx on a read, not a document
   │  │  └─ AnswerLost                    a write that may be repeated left and its answer was lost: in doubt
   │  ├─ NotReady                         the order cannot be shipped yet (unpaid, not accepted): hourly
   │  └─ OutcomeUnknown                   a write left and its answer was lost: in doubt
   ├─ Refused                         1   failed; needs a person
   │  ├─ OrderNotFound
   │  ├─ Rejected                         the platform said no
   │  └─ NotUnderstood                    well-formed, but not what the API promises
   ├─ CarrierNotAccepted              1   blocked when known before sending, failed when the platform says it
   ├─ NumberNotAccepted               1   likewise
   └─ NotOurs                         1   blocked: the platform handles this number or order itself

An error's text is one sentence a colleague would say, with the next step in it, and holds no secret.
"""

from __future__ import annotations

MOST = 700  # characters of a sentence; its next step stands at its end


def brief(text: str) -> str:
    """A sentence in which a stranger's word may be megabytes long: its beginning and its end."""
    return text if len(text) <= MOST else f"{text[: MOST - 250]}…{text[-200:]}"


class ShipfwdError(Exception):
    exit_code = 70


class UsageError(ShipfwdError):
    exit_code = 2


class ConfigError(ShipfwdError):
    exit_code = 3


class AuthFailed(ConfigError):
    """The platform refuses our credentials."""


class StoreFailed(ConfigError):
    """The database cannot be read or written now. What was in flight may have arrived and is not recorded."""


class Interrupted(ShipfwdError):
    exit_code = 130


class PlatformError(ShipfwdError):
    exit_code = 1

    def __str__(self) -> str:
        return brief(super().__str__())


class TryLater(PlatformError):
    """after   seconds the platform asks us to wait, or None."""

    exit_code = 4

    def __init__(self, message: str = "", after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Throttled(TryLater):
    """Too many calls; certainly not processed."""


class Unavailable(TryLater):
    """Nothing was written (unreachable, or a failing read), or a repeat of it is harmless."""


class AnswerLost(Unavailable):
    """A write whose repeat is harmless left and its answer was lost: sent again at once, in doubt once given up."""


class NotReady(TryLater):
    """The order cannot take a number yet (unpaid, awaiting acceptance); looked at again hourly."""


class OutcomeUnknown(TryLater):
    """A write left and its answer was lost: it may have been applied."""


class Refused(PlatformError):
    """A person must act."""


class OrderNotFound(Refused):
    pass


class Rejected(Refused):
    pass


class NotUnderstood(Refused):
    """A well-formed answer without the field its API promises: API drift."""


class CarrierNotAccepted(PlatformError):
    pass


class NumberNotAccepted(PlatformError):
    pass


class NoRoom(NumberNotAccepted):
    """A further number of an order, which its one field cannot hold any more. Raised before anything is sent."""


class NeedsItems(PlatformError):
    """A further parcel of an order, where the platform must know what lies in it. Raised before anything is sent."""


class PiecesLeft(PlatformError):
    """The order is not to be marked as sent yet: some of it is in no parcel. The next parcel asks again."""


class NotOurs(PlatformError):
    """The platform handles this number or order itself; nothing is to be sent."""
