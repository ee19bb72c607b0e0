"""Keeps secrets out of all that shipfwd says: known values in every form they travel in, and what looks like one."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

MASK = "***"
_SHORTEST = 4

# Names that always carry a secret, in JSON, forms, queries and OAuth headers. Platforms hand out tokens that nobody
# knows yet when their answer is logged, hence by name.
_NAMED = re.compile(
    r"""(?ix) (?<![a-z0-9])
    (?: access_token | refresh_token | id_token | oauth_token | oauth_verifier | oauth_signature | signature
      | token_secret | client_secret | consumer_secret | shared_secret | secret_key | client_key | consumer_key
      | oauth_consumer_key | ws_key | api_?key | device_code | user_code | code_verifier | password
      | (?: buyer_? )? e?mail | phone (?: _?number )? )  # of the buyer, in answers that have more than we asked for
    (?: (\\?"\s*:\s*\\?") (?: [^"\\] | \\. )*
      | ('\s*:\s*')       (?: [^'\\] | \\. )*
      | (=["']?) (?! (?: prompt | REF ) (?! [^"'&\s,;)] ) ) [^"'&\s,;]+ )"""  # our own advice: --secret api_key=prompt
)
# A part of every one of those names: where none stands, the costly search is not made.
_STEMS = ("token", "secret", "signature", "verifier", "_key", "apikey", "_code", "password", "mail", "phone")
_QUERY = re.compile(r"(?i)((?:^|[?&#])(?:code|state|key|token|sig)=)[^&#\s]+")
_USER = re.compile(r"(://)[^/\s@]+@")
_SCHEME = re.compile(r"((?i:\b(?:basic|bearer)) +)(?=\S*[A-Z0-9])[\w.~+/=-]{6,}")
_HEADER = re.compile(
    r"(?i)(?:proxy-)?authorization|(?:set-)?cookie2?|.*(?:token|secret|signature|password|api-?key|client-?key).*|x-.*key"
)


class Redactor:
    """Knows the secrets of a run. Threads may share one.

    Values shorter than 4 characters are not searched for: masking them would leave no text readable.

    Why not one regular expression: with 30 secrets str.find over their 120 forms took 0.09 ms for 2 KB of text, a
    compiled alternation of them 0.29 ms.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """Never show this value from now on."""
        if len(value) < _SHORTEST or value in self._values:
            return
        forms = _forms(value)
        with self._lock:
            self._values.add(value)
            # Longest first, so that no part of a longer one stays when a shorter one lies within.
            self._forms = tuple(sorted(forms.union(self._forms), key=len, reverse=True))

    def redact(self, text: str) -> str:
        """The text with *** for every known value, for credentials by name, and in Basic and Bearer."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        folded = text.casefold()
        if any(stem in folded for stem in _STEMS):
            text = _NAMED.sub(_keep_name, text)
        if "basic" in folded or "bearer" in folded:
            text = _SCHEME.sub(rf"\1{MASK}", text)
        if "@" in text:
            text = _USER.sub(rf"\1{MASK}@", text)
        return _QUERY.sub(rf"\1{MASK}", text) if "=" in text else text

    def redact_url(self, url: str) -> str:
        """A URL without its user, and with *** for the secrets in its query."""
        return self.redact(url)

    def redact_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Headers with *** for those whose name says that they carry a credential; the others redacted."""
        return {
            name: _header(value) if _HEADER.fullmatch(name) else self.redact(value) for name, value in headers.items()
        }


def _header(value: str) -> str:
    """*** behind the scheme, if there is one: that it was Basic and not Bearer explains many a 401."""
    scheme, space, _ = value.partition(" ")
    return f"{scheme} {MASK}" if space and scheme.lower() in ("basic", "bearer", "oauth") else MASK


def _keep_name(match: re.Match[str]) -> str:
    separator = match[1] or match[2] or match[3]
    head = match[0][: match[0].index(separator) + len(separator)]
    return head + MASK


def _forms(value: str) -> set[str]:
    """How a value looks in a URL, a form, JSON (also PHP's, which escapes the slash), XML and base64."""
    import json
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    raw = value.encode()
    coded = {quote(value, safe=""), quote(value), quote_plus(value)}
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    marked = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    forms = {value, marked, marked.replace('"', "&quot;"), *coded, *escaped}
    forms |= {re.sub("%..", lambda code: code[0].lower(), text) for text in coded}
    forms |= {text.replace("/", "\\/") for text in escaped}
    for ahead in range(3):  # base64 has three ways to write it, by what stands in front ("user:")
        text = b64encode(b"\0" * ahead + raw).decode()
        inner = text[(0, 2, 3)[ahead] : (ahead + len(raw)) * 8 // 6]  # what no neighbour has a part in
        if len(inner) >= 6:
            forms |= {inner, inner.replace("+", "-").replace("/", "_")}
    return forms
