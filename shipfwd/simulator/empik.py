"""Empik Place: Mirakl with one number an order. Its real carrier codes are not published; these stand in for them."""

from __future__ import annotations

from shipfwd.simulator._mirakl import Operator


class Empik(Operator):
    name = "empik"
    title = "Empik"
    api_key = "SECRET-empik-key"
    listed = {
        "INPOST": "InPost", "DPD": "DPD", "UPS": "UPS", "DHL": "DHL", "PP": "Poczta Polska", "FEDEX": "FedEx",
        "GLS": "GLS", "ORLEN": "ORLEN Paczka",
    }  # fmt: skip

    def seed(self) -> dict[str, str]:
        """10000000-A to C ready, D cancelled, E awaiting acceptance, F with a number, G shipped."""
        cases = {
            "A": ("ready", "SHIPPING"),
            "B": ("ready", "SHIPPING"),
            "C": ("ready", "SHIPPING"),
            "D": ("cancelled", "CANCELED"),
            "E": ("awaits acceptance", "WAITING_ACCEPTANCE"),
            "F": ("has a number already", "SHIPPING"),
            "G": ("shipped without a number", "SHIPPED"),
        }
        for letter, (_, status) in cases.items():
            self.add_order(f"10000000-{letter}", status=status)
        self.put("10000000-F", "620000000000000000000006", "INPOST")
        return {f"10000000-{letter}": words for letter, (words, _) in cases.items()}
