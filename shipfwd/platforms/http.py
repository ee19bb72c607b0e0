"""A marketplace without an adapter, described in a TOML file: the declarative target.

Source: docs/http.md for the file, _declarative.py for what becomes of it. RFC 9110 is all that is known of the others.
"""

from __future__ import annotations

from shipfwd.platforms._declarative import Declarative


class Http(Declarative):
    name = "http"
    title = "Declarative target"
    source = "https://www.rfc-editor.org/rfc/rfc9110"
    read_on = "2026-11-23"
