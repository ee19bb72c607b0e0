"""PrestaShop's Webservice: the XML it takes, the lists it gives, and what its refusals mean."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from shipfwd.errors import AuthFailed, ConfigError, NotUnderstood, NumberNotAccepted, OutcomeUnknown, Rejected
from shipfwd.models import Reply, tracking_key
from shipfwd.platforms.base import Platform, Tools, host

DAY = 86400.0
PAGE = "Advanced Parameters > Webservice"
PHP = range(16)  # codes of PHP's own talk: a notice, a warning …, with the server's paths in it
FLAGS = ("shipped", "paid")  # of an order status


class Webservice(Platform):
    """Asked for JSON, told in XML, with the key as the user's name."""

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools)
        self._params = {"output_format": "JSON"}
        if self.flag("notify_buyer"):
            self._params["sendemail"] = "1"
            self.repeat = "doubles"  # not the number, but the mail

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": "Basic " + b64encode((self.secret("api_key") + ":").encode()).decode()}

    def explain(self, reply: Reply) -> Exception | None:
        return explain(reply)

    def _send(self, method: str, path: str, name: str, fields: Mapping[str, Any], *parts: str, **options: Any) -> Reply:
        kind = {"Content-Type": "text/xml; charset=utf-8"}
        return self.call(method, path, *parts, params=self._params, body=xml(name, fields), headers=kind, **options)

    def _some(self, resource: str, key: str, values: Sequence[str], display: str) -> list[Any]:
        """The rows in which `key` is one of the values."""
        params = {f"filter[{key}]": f"[{'|'.join(values)}]", "display": display}
        return self._list(resource, params) if values else []

    def _list(self, resource: str, params: Mapping[str, str]) -> list[Any]:
        data = self.get(f"/api/{resource}", params={**params, "output_format": "JSON"}).data
        return [] if data == [] else self.rows(data, resource)

    def numbers_of(self, row: Any) -> list[str]:
        """The tracking numbers in a row's one field, which must be there and may be null."""
        words = self.text(row, "tracking_number", null="").split(",")
        return [word.strip() for word in words if tracking_key(word)]

    def _states(self, needed: str) -> dict[str, list[str]]:
        """The shop's order statuses: id → flags. Asked for once a day, and when the needed one is missing."""
        known: dict[str, list[str]] = self.cache.get("states") or {}
        if needed not in known:
            rows = self._list("order_states", {"display": "full"})
            known = {self.text(row, "id"): [flag for flag in FLAGS if str(row.get(flag)) == "1"] for row in rows}
            if not known:
                raise NotUnderstood(f"{self.title} answered without order statuses")
            self.cache.put("states", known, DAY)
        return known

    def _must_exist(self, state: str) -> None:
        if state not in (states := self._states(state)):
            there = ", ".join(states)
            raise ConfigError(f"the shop has no order status {state}, but {there}; name one: --set shipped_state=ID")


# ---- documents ----------------------------------------------------------------------------------------------


def xml(name: str, fields: Mapping[str, Any]) -> bytes:
    """An entity as the Webservice reads it; what is no plain value is left out."""
    inner = "".join(
        f"<{key}>{html.escape(str(value), quote=False)}</{key}>"
        for key, value in fields.items()
        if isinstance(value, str | int | float)
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<prestashop xmlns:xlink="http://www.w3.org/1999/xlink">'
    return f"{head}<{name}>{inner}</{name}></prestashop>".encode()


def parsed(text: str) -> Any:
    """The root of an XML document without entities. Raises NotUnderstood for anything else."""
    try:
        return fromstring(text.strip())
    except (ParseError, DefusedXmlException):
        raise NotUnderstood("PrestaShop answered without readable XML") from None


# ---- refusals -----------------------------------------------------------------------------------------------


def errors_of(reply: Reply) -> dict[int, str]:
    """Code → words of an error document, in JSON or XML; empty where it is none."""
    rows: list[Any] = []
    if isinstance(reply.data, dict) and isinstance(reply.data.get("errors"), list):
        rows = reply.data["errors"]
    elif "<errors>" in reply.text:
        rows = [{part.tag: part.text for part in one} for one in parsed(reply.text).iter("error")]
    rows = [one for one in rows if isinstance(one, dict) and str(one.get("code")).isdigit()]
    return {int(one["code"]): " ".join(html.unescape(str(one.get("message"))).split()) for one in rows}


def told(errors: Mapping[int, str]) -> str:
    """The shop's own words."""
    return next((words[:200] for code, words in errors.items() if code not in PHP), "")


def explain(reply: Reply) -> Exception | None:
    """What a refusal means, by its codes; None leaves it to the status."""
    if reply.status < 400 or reply.status in (408, 429):
        return None
    errors, shop = errors_of(reply), host(reply.url)
    said = told(errors)
    if 22 in errors:
        return ConfigError(f"the Webservice of {shop} is switched off; enable it at {PAGE}")
    if reply.status in (401, 405) and not errors:
        return AuthFailed(
            f"{shop} answers {reply.status} before it looks at the key; its host must let the Authorization header and "
            "all methods through (CGIPassAuth On)"
        )
    if reply.status in (401, 405):
        return AuthFailed(f"{shop} refuses the key ({said}); see to it and its rights at {PAGE}")
    if reply.status == 404 and not errors:
        return ConfigError(f"{shop} has no Webservice there; correct base_url, or switch friendly URLs on")
    if 46 in errors:
        return OutcomeUnknown(f"{shop} said '{said}', which it also does when the number is saved and a mail fails")
    if reply.status >= 500 and said:
        return NotUnderstood(f"{shop} cannot do what shipfwd asks ({said}); is it PrestaShop 1.7 or later?")
    if "tracking_number" in said:
        return NumberNotAccepted(f"{shop} does not take this number ({said})")
    return Rejected(f"{shop} answered {reply.status}: {said}") if errors and reply.status < 500 else None
