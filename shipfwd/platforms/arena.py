"""Arena.pl: the declarative target with a definition whose unknown parts are open, and refused until filled in.

Source: https://arena.pl/panel_sprzedawcy/api gives a key, and no public page describes the API for orders; what is
known, and from where, stands in arena.toml. Read 2026-11-23.
"""

from __future__ import annotations

from shipfwd.platforms._declarative import Declarative


class Arena(Declarative):
    name = "arena"
    title = "Arena"
    source = "https://arena.pl/panel_sprzedawcy/api"
    read_on = "2026-11-23"
    shipped = "arena"
