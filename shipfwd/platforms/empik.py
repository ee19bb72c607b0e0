"""Empik: Empik Place, a marketplace in Poland that runs on Mirakl. What it does is in _mirakl.py.

Source: pomoc.empikplace.com (orders and their statuses, API key), read 2026-11-23.
Quirks, each the reason for a line below:
- The carriers named here are those after whose delivery Empik sets "Received" by itself. Their codes at Empik are not
  published, so they are looked up by these names in the list that its API gives.
"""

from __future__ import annotations

from shipfwd.platforms._mirakl import Operator, settings_with


class Empik(Operator):
    name = "empik"
    title = "Empik"
    where = "marketplace.empik.com > Orders > {order}"
    settings = settings_with("https://marketplace.empik.com")
    carriers = {
        "inpost": "InPost", "dpd": "DPD", "ups": "UPS", "dhl": "DHL", "poczta-polska": "Poczta Polska",
        "fedex": "FedEx", "gls": "GLS",
    }  # fmt: skip
