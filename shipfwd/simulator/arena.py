"""Arena.pl, as far as anything public says: one call, that has nothing to do with orders.

Source: programs of others that send POST /api/v4/categories/search with Basic authorisation (login, key) and read
{"count", "results", "errors"}, seen 2026-11-23. No call for orders, numbers or statuses is known, so there is none
here: every other path is a 404, and no order ever gets a number.
"""

from __future__ import annotations

from shipfwd.simulator.base import Answer, Request, Stand, Stop, route


class Arena(Stand):
    name = "arena"
    title = "Arena (no call for orders is public)"

    login = "SECRET-arena-login"
    api_key = "SECRET-arena-key"

    def credentials(self) -> tuple[dict[str, str], dict[str, str]]:
        """The shipped definition names no address, so nothing leads here until it is filled in."""
        return {}, {"login": self.login, "api_key": self.api_key}

    def seed(self) -> dict[str, str]:
        self.add_order("7788")
        return {"7788": "there, but no call that reaches it is known"}

    def no_route(self, request: Request) -> Answer:
        return Answer.json({"count": 0, "results": [], "errors": ["Not found"]}, 404)

    def unauthorised(self, request: Request) -> Answer:
        return Answer.json({"count": 0, "results": [], "errors": ["Unauthorized"]}, 401)

    def guard(self, request: Request) -> None:
        if self.basic(request) != (self.login, self.api_key):
            raise Stop(self.unauthorised(request))

    @route("POST", "/api/v4/categories/search")
    def categories(self, request: Request) -> Answer:
        self.document(request)
        return Answer.json({"count": 0, "results": [], "errors": []})
