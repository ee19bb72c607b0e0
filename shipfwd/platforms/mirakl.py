"""Mirakl: any operator's marketplace that runs on it, by its address. What it does is in _mirakl.py."""

from __future__ import annotations

from shipfwd.platforms._mirakl import Operator, settings_with


class Mirakl(Operator):
    name = "mirakl"
    title = "Mirakl"
    where = "the operator's back office > Orders > {order}"
    settings = settings_with(None)
