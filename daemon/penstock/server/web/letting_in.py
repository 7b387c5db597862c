"""How a browser is let in: `penstock open` shows the token for a code, and the page the code for its key."""

from __future__ import annotations

from penstock.server.http_answer import HttpAnswer, json_answer
from penstock.server.routes import Call, Handler
from penstock.server.web.page_codes import PageCodes
from penstock.server.web.page_files import PAGE_PATH
from penstock.server.web.page_keys import PageKeys
from penstock.words.errors import NotFound, Unauthorised

#: Where the page shows its code: no part of an address, so nobody on the way keeps it.
CODE_HEADER = "penstock-code"


def no_page_handlers() -> dict[str, Handler]:
    """Where the page is off."""

    def refuse(_call: Call) -> HttpAnswer:
        raise NotFound("this daemon has no page: its setting `web` is false")

    return {"page_code": refuse, "page_key": refuse}


def letting_in_handlers(codes: PageCodes, keys: PageKeys | None) -> dict[str, Handler]:
    """The handlers of codes and keys, by the name of their route; no `keys`: no token is asked for."""

    def page_code(call: Call) -> HttpAnswer:
        # What stands after # stays in the browser.
        url = f"{call.base}{PAGE_PATH}#code={codes.make()}"
        return json_answer({"url": url, "seconds": codes.seconds}, 201)

    def page_key(call: Call) -> HttpAnswer:
        code = call.headers.get(CODE_HEADER)
        if code is None:
            raise Unauthorised(f"the header {CODE_HEADER} is missing")
        codes.use(code)
        return json_answer({"key": None if keys is None else keys.make()}, 201)

    return {"page_code": page_code, "page_key": page_key}
