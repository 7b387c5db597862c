"""A real browser without a window, driven by its own protocol (CDP) over a WebSocket."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, open_websocket_url

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
#: Seconds for anything that is waited for; a loaded box may take its time.
PATIENCE = 60.0
#: A frame with a picture in it.
LARGEST_MESSAGE = 64 * 1024 * 1024


@dataclass(eq=False)
class Browser:
    """The program, and the pages that it has opened."""

    connection: WebSocketConnection
    _waiting: dict[int, trio.Event] = field(default_factory=dict)
    _replies: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: What pages said on their consoles, and what they tried that their policy forbids.
    complaints: list[str] = field(default_factory=list)
    #: What pages were sent by WebSocket, by their sessions, once `hear` was asked for.
    heard: dict[str, bytearray] = field(default_factory=dict)

    async def call(
        self, method: str, session: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        """Give an order and wait for its result."""
        number = len(self._replies) + len(self._waiting) + 1
        done = self._waiting[number] = trio.Event()
        order: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            order["sessionId"] = session
        with trio.fail_after(PATIENCE):
            await self.connection.send_message(json.dumps(order))
            await done.wait()
        reply = self._replies[number]
        assert "error" not in reply, (method, reply)
        return dict(reply["result"])

    async def listen(self) -> None:
        """Take what the browser says, until it has gone."""
        try:
            while True:
                told = json.loads(await self.connection.get_message())
                if "id" in told:
                    self._replies[told["id"]] = told
                    self._waiting.pop(told["id"]).set()
                elif told["method"] == "Log.entryAdded":
                    self.complaints.append(told["params"]["entry"]["text"])
                elif told["method"] == "Network.webSocketFrameReceived":
                    frame = told["params"]["response"]
                    if frame["opcode"] == 2:
                        heard = self.heard.setdefault(told["sessionId"], bytearray())
                        heard += base64.b64decode(frame["payloadData"])
                elif told["method"] == "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(told["params"]))
        except ConnectionClosed:
            pass

    async def open(
        self,
        url: str,
        *,
        width: int = 1000,
        height: int = 800,
        phone: bool = False,
        hear: bool = False,
    ) -> Page:
        """A page in a window of this size."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call(
            "Target.attachToTarget", targetId=target, flatten=True
        )
        page = Page(self, attached["sessionId"])
        more = ("Network",) if hear else ()
        for domain in ("Page", "Runtime", "Log", *more):
            await page.call(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1}
        await page.call("Emulation.setDeviceMetricsOverride", **metrics, mobile=phone)
        await page.go(url)
        return page


@dataclass(frozen=True)
class Page:
    """One tab."""

    browser: Browser
    session: str

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self.browser.call(method, self.session, **parameters)

    async def go(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def run(self, code: str) -> Any:
        """The value of an expression there; a promise is waited for."""
        told = await self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, (code, told)
        return told["result"].get("value")

    async def until(self, condition: str) -> Any:
        """Wait until this expression is true there: its value."""
        with trio.move_on_after(PATIENCE):
            while True:
                # A page that is being left answers nothing; the next look asks the new one.
                value = await self.run(
                    f"(() => {{ try {{ return {condition} }} catch {{ return null }} }})()"
                )
                if value:
                    return value
                await trio.sleep(0.05)
        shown = await self.run("document.body.innerText")
        complaints = self.browser.complaints
        raise AssertionError(f"never {condition}; it shows\n{shown}\n{complaints}")

    async def shows(self, text: str) -> None:
        """Wait until this text is to be seen."""
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def click(self, selector: str) -> None:
        """Click, once it is there and stays where it is, as a person does: with the mouse, in its middle."""
        where = await self.until(
            f"""(async () => {{ const found = document.querySelector({json.dumps(selector)});
                if (!found) return null;
                found.scrollIntoView({{block: "nearest"}});
                const before = found.getBoundingClientRect();
                await new Promise((done) => setTimeout(done, 50));
                const box = found.getBoundingClientRect();
                if (box.x !== before.x || box.y !== before.y) return null;
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                return found.contains(document.elementFromPoint(x, y)) ? {{x, y}} : null; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                button="left",
                clickCount=1,
                **where,
            )

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str, **more: Any) -> None:
        """Press a key by its name, as `Enter`."""
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, **more)

    async def hears(self, text: str) -> None:
        """Wait until it was sent this text; what was sent before the wait began counts too."""
        with trio.move_on_after(PATIENCE):
            while text.encode() not in self.browser.heard.get(self.session, b""):  # noqa: ASYNC110 (it comes bit by bit)
                await trio.sleep(0.05)
            return
        raise AssertionError(f"it never heard {text!r}")

    def forget(self) -> None:
        """What was sent until now is not looked at again."""
        self.browser.heard.pop(self.session, None)

    async def picture(self) -> bytes:
        """What it looks like, as PNG."""
        told = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])


@asynccontextmanager
async def open_browser(folder: Path) -> AsyncIterator[Browser]:
    """A browser with a profile of its own, for as long as this is open."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-default-apps", "--remote-debugging-port=0",
        f"--user-data-dir={folder}", "about:blank",
    ]  # fmt: skip
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        place = trio.Path(folder) / "DevToolsActivePort"
        with trio.fail_after(PATIENCE):
            while (
                not await place.exists()
                or len(lines := (await place.read_text()).split()) < 2
            ):  # noqa: ASYNC110
                assert process.poll() is None, "the browser does not start"
                await trio.sleep(0.05)
        url = f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        async with open_websocket_url(
            url, max_message_size=LARGEST_MESSAGE
        ) as connection:
            browser = Browser(connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(browser.listen)
                yield browser
                nursery.cancel_scope.cancel()
    finally:
        process.terminate()
        with trio.move_on_after(PATIENCE, shield=True) as patience:
            await process.wait()
        if patience.cancelled_caught:
            process.kill()
