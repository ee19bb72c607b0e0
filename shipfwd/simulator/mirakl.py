"""Another operator of Mirakl: several shipments an order, no carriers but its own."""

from __future__ import annotations

from shipfwd.simulator._mirakl import Operator


class Mirakl(Operator):
    name = "mirakl"
    title = "Mirakl"
    multi_shipment = True

    def seed(self) -> dict[str, str]:
        """Order_00001-A to …3-A ready, two lines each; …4-A refused; …5-A not paid."""
        cases = ("ready", "ready", "ready", "refused", "not paid yet")
        states = ("SHIPPING", "SHIPPING", "SHIPPING", "REFUSED", "WAITING_DEBIT_PAYMENT")
        ids = [f"Order_{place:05d}-A" for place in range(1, 6)]
        for id, status in zip(ids, states, strict=True):
            self.add_order(id, status=status, lines=2)
        return dict(zip(ids, cases, strict=True))
