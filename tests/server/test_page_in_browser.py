"""The daemon's page in a real browser, before a real daemon: what a person sees of it, and who is kept out."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
import trio

from fakes.browser import CHROMIUM, Browser, open_browser
from fakes.real_daemon import RealDaemon

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]

#: A plug-in of a box: it asks a person, and says what the answer was.
ASKING = """
from penstock.pipeline import Inputs, Kind, Output, Run

class Wish(Inputs):
    pass

class Done(Output):
    pass

async def asking(run: Run, wish: Wish) -> Done:
    branch = await run.ask("branch", "Which branch?", choices=("main", "next"))
    reason = await run.ask("reason", "Why?")
    await run.log(f"{branch}: {reason}\\n")
    return Done()

KIND = Kind("asking", "Ask a person", Wish, Done, asking, on_restart="fail")
"""
#: Another, that speaks as a coding agent does, and as one that means no good.
AGENT = r"""
from penstock.pipeline import AgentSaid, Inputs, Kind, Output, PlanEntry, PlanUpdated, Run, ToolCalled, ToolEnded
from penstock.words.events import InterventionReceived

DIFF = "--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-old <b>line</b>\n+new \u202eline\n"

class Wish(Inputs):
    prompt: str

class Done(Output):
    pass

async def agent(run: Run, wish: Wish) -> Done:
    await run.emit(AgentSaid(message="1", text="**I look** at <img src=x onerror=document.title='owned'>\n\n"))
    await run.emit(AgentSaid(message="1", text="```\ncode\n```\n[here](javascript:alert)"))
    await run.emit(PlanUpdated(entries=(PlanEntry(content="write it", status="in_progress"),)))
    await run.emit(ToolCalled(call="t", title="Edit a.txt", tool="edit", paths=("a.txt",)))
    await run.emit(ToolEnded(call="t", status="completed", diff=DIFF, output="went well"))
    await run.log("printed once\n")
    details = {"tool": "edit", "command": "rm \u202e-rf", "paths": ["a.txt"], "diff": DIFF}
    answer = await run.ask("permit-1", "May it?", choices=("allow", "deny"), details=details)
    await run.emit(AgentSaid(message="0", role="user", text="do it"))
    await run.emit(InterventionReceived(text="do it"))
    await run.emit(ToolCalled(call="u", title="make", tool="execute"))
    await run.emit(AgentSaid(message="2", text="I was"))
    await run.emit(AgentSaid(message="2", text=f" told: {answer}"))
    async with run.artifact("changes.patch") as patch:
        await patch.write("diff --git a/a.txt b/a.txt\n" + DIFF)
    return Done()

KIND = Kind("talker", "Talk", Wish, Done, agent, on_restart="fail")
"""
#: A third, whose one message comes in thousands of pieces.
TALKATIVE = """
from penstock.pipeline import AgentSaid, Inputs, Kind, Output, Run

class Wish(Inputs):
    prompt: str

class Done(Output):
    pass

async def agent(run: Run, wish: Wish) -> Done:
    for number in range(3000):
        text = f"**word** {number}\\n" if number % 3 == 0 else "more "
        await run.emit(AgentSaid(message="1", text=text))
    await run.emit(AgentSaid(message="2", text="the end"))
    return Done()

KIND = Kind("talkative", "Talk", Wish, Done, agent, on_restart="fail")
"""
#: Newest runs that the page asks for.
MOST_ENDED = 100
LINK_STANDS = "document.getElementById('link').className === 'well'"


def install_asking(site: Path, name: str = "asking", source: str = ASKING) -> Path:
    """What an installer leaves of it."""
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[penstock.pipelines]\n{name} = {name}:KIND\n"
    )
    return site


async def penstock(*words: str) -> str:
    """What the command line says."""
    done = await trio.run_process(
        [sys.executable, "-m", "penstock.cli.main", *words], capture_stdout=True
    )
    return done.stdout.decode()


async def submit(*words: str) -> str:
    """The id of a new run."""
    told = json.loads(await penstock("submit", "--json", *words))
    return str(told["run_id"])


async def address(*words: str) -> str:
    """The address that `penstock open` would open."""
    return (await penstock("open", "--print", *words)).strip()


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_browser(tmp_path / "profile") as browser:
        yield browser


async def test_output_comes_live_with_its_colours(
    real_daemon: RealDaemon, browser: Browser
) -> None:
    """A run's output grows while it is looked at, bars of progress stay one line, markup is text."""
    go = real_daemon.log.with_name("go")
    script = (
        r"printf '\033[31mred\033[0m <b>no markup</b>\n1 %%\r';"
        f" until test -e {go}; do sleep 0.05; done;"
        r" printf '99 %%\n\033[1;38;5;214mla%s\033[0m \xe6\x97\xa5\xe6\x9c\xac\n' ter; sleep 600"
    )
    run_id = await submit("--name", "shown", "bash", "-c", script)
    page = await browser.open(await address(run_id))
    await page.shows("red <b>no markup</b>")
    await page.until(LINK_STANDS)
    assert "code" not in await page.run("location.href")
    colour = "getComputedStyle(document.querySelector('.printed span')).color"
    assert await page.run(colour) == "rgb(179, 38, 30)"
    assert not await page.run("document.body.innerText.includes('later')")
    go.touch()
    await page.shows("later 日本")
    lines = (
        "[...document.querySelectorAll('.printed div')].map(line => line.textContent)"
    )
    assert await page.run(lines) == ["red <b>no markup</b>", "99 %", "later 日本"]
    bold = "getComputedStyle(document.querySelector('.printed .bold')).color"
    assert await page.run(bold) == "rgb(255, 175, 0)"
    assert browser.complaints == []


async def test_a_cancel_is_answered_with_its_receipt(
    real_daemon: RealDaemon, browser: Browser
) -> None:
    """DU-07: from the list, on a phone: the run, the order, what is left of it."""
    run_id = await submit("--name", "sleeper", "sleep", "600")
    page = await browser.open(await address(), width=390, height=760, phone=True)
    await page.shows("RUNNING")
    # Nothing is wider than the screen.
    assert await page.run("document.documentElement.scrollWidth") <= 390
    await page.click("a[href^='#run=']")
    await page.click("#cancel")
    await page.click("#really")
    receipt = "(document.getElementById('receipt') ?? {}).textContent"
    assert "its process is gone" in await page.until(receipt)
    await page.shows("■")
    told = json.loads(await penstock("show", "--json", run_id))
    assert told["state"] == "cancelled"
    await page.click("#home")
    await page.shows("ENDED")
    assert browser.complaints == []


async def test_what_a_run_in_line_waits_for_is_told(
    real_daemon: RealDaemon, browser: Browser
) -> None:
    """SC-14 DU-07: in the list and on its own, in words; its place in the log says nothing to anybody."""
    run_id = await submit("--on", "gpu=9", "true")
    lacks = "It asks for gpu=9, which this box has not."
    page = await browser.open(await address())
    await page.shows(f"queued · {lacks}")
    await page.click(f"a[href='#run={run_id}']")
    why = "document.getElementById('why')?.textContent"
    assert await page.until(why) == lacks
    assert "place" not in await page.run("document.querySelector('h1').textContent")
    await penstock("cancel", run_id)
    await page.until(f"{why} === ''")
    assert browser.complaints == []


async def test_a_question_is_answered(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path, browser: Browser
) -> None:
    """One with choices, and one in one's own words."""
    site = install_asking(tmp_path / "site")
    start_daemon(PYTHONPATH=str(site))
    await penstock("submit", "asking", "--id", "a")
    page = await browser.open(await address())
    await page.shows("Which branch?")
    await page.click("a[href='#run=a']")
    await page.click(".card.asks button:nth-child(2)")
    await page.click(".card.asks input")
    await page.type("because")
    await page.press("Enter")
    await page.shows("next: because")
    told = json.loads(await penstock("wait", "--json", "a"))
    assert told["state"] == "completed"
    assert browser.complaints == []


async def test_an_agent_is_read_and_allowed(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path, browser: Browser
) -> None:
    """What it says, does, plans and asks, with the diff; what it writes is text, and reads as it is."""
    site = install_asking(tmp_path / "site", "talker", AGENT)
    start_daemon(PYTHONPATH=str(site))
    await penstock("submit", "talker", "--id", "a", "--prompt", "do it", "--label", "agent=talker")  # fmt: skip
    page = await browser.open(await address("a"), width=390, height=760, phone=True)
    await page.shows("May it?")
    await page.shows("I look at <img src=x")
    await page.shows("plan: 0 of 1 done")
    await page.shows("edit Edit a.txt +1 −1")  # noqa: RUF001
    await page.shows("rm \ufffd-rf")
    text = "document.body.innerText"
    assert "here (javascript:alert)" in await page.run(text)
    assert "went well" not in await page.run(text)
    assert not await page.run("!!document.querySelector('main img, main a')")
    coloured = "getComputedStyle(document.querySelector('.card .diff .added')).color"
    assert await page.run(coloured) == "rgb(28, 107, 63)"
    assert await page.run("document.documentElement.scrollWidth") <= 390
    await page.click(".tool summary")
    await page.shows("went well")
    await page.click(".card.asks button:nth-child(1)")
    await page.shows("I was told: allow")
    await page.shows("changes.patch")
    await page.shows("allow (by ")
    # What the agent left open goes on no more, and to have its slot again is nothing to tell.
    await page.shows("── completed")
    await page.shows("■ execute make")
    assert "resumed" not in await page.run(text)
    # The same, when it is looked at afterwards.
    await page.call("Page.reload")
    await page.shows("I was told: allow")
    await page.shows("a.txt +1 −1")  # noqa: RUF001
    assert await page.run("document.querySelectorAll('.talk .tool').length") == 2
    # What it was asked for, and what it was told in the same words afterwards.
    assert await page.run("document.querySelectorAll('.talk .told').length") == 2
    assert not [c for c in await page.run(text) if c in "\u202e\u2066"]
    assert browser.complaints == []


async def test_a_run_that_was_half_read_is_read_from_its_beginning(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path, browser: Browser
) -> None:
    """A daemon that goes away in between has told nothing twice when it is there again."""
    site = install_asking(tmp_path / "site", "talker", AGENT)
    start_daemon(PYTHONPATH=str(site))
    await penstock("submit", "talker", "--id", "a", "--prompt", "do it", "--label", "agent=talker")  # fmt: skip
    page = await browser.open(await address("a"))
    await page.shows("May it?")
    await page.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="""const real = fetch; let lost = 1;
            window.fetch = async (path, options) => {
                const reply = await real(path, options);
                if (String(path).includes("events?") && lost-- > 0) {
                    const told = await reply.json();
                    return {ok: true, status: 200, headers: reply.headers, json: async () => ({...told, more: true})};
                }
                if (String(path).includes("events?") && lost === -1) throw new TypeError("it is lost");
                return reply;
            };""",
    )
    await page.call("Page.reload")
    await page.until("!document.querySelector('main .said')")
    await page.shows("I look at <img src=x")
    await page.until(LINK_STANDS)
    assert await page.run("document.querySelectorAll('.talk .said').length") == 1
    assert await page.run("document.querySelectorAll('.talk .tool').length") == 1
    said = (
        "[...document.querySelectorAll('.printed div')].map(line => line.textContent)"
    )
    assert await page.run(said) == ["printed once"]


async def test_what_an_agent_said_in_thousands_of_pieces_is_there_soon(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path, browser: Browser
) -> None:
    """What came together is drawn together: all of it for each piece would not be over in a minute."""
    site = install_asking(tmp_path / "site", "talkative", TALKATIVE)
    start_daemon(PYTHONPATH=str(site))
    await penstock("submit", "talkative", "--id", "a", "--prompt", "do it", "--label", "agent=talkative")  # fmt: skip
    await penstock("wait", "a")
    page = await browser.open(await address("a"))
    await page.shows("the end")
    assert await page.run("document.querySelectorAll('.talk .said').length") == 2
    assert browser.complaints == []


async def test_a_question_stands_above_all_however_many_runs_are_newer(
    start_daemon: Callable[..., RealDaemon], tmp_path: Path, browser: Browser
) -> None:
    """The newest runs alone would not have it."""
    site = install_asking(tmp_path / "site")
    daemon = start_daemon(PYTHONPATH=str(site))
    await penstock("submit", "asking", "--id", "a")
    token = (await penstock("token", "show", "--show")).strip()
    shown = {"Authorization": f"Bearer {token}"}
    aside = {"kind": "asking", "stashed": True}
    async with httpx.AsyncClient(base_url=daemon.url, headers=shown) as owner:
        for _ in range(MOST_ENDED):
            assert (await owner.post("/runs", json=aside)).status_code == 202
    page = await browser.open(await address())
    await page.shows("NEEDS YOU")
    await page.shows("Which branch?")
    await page.until(
        f"document.querySelectorAll('.rows a').length === {MOST_ENDED + 1}"
    )
    assert browser.complaints == []


async def test_a_list_follows_what_happens(
    start_daemon: Callable[..., RealDaemon], browser: Browser
) -> None:
    """Runs come, and go to where they belong, while it is looked at; after the daemon came again, too."""
    daemon = start_daemon()
    page = await browser.open(await address())
    await page.shows("No runs yet")
    await page.until(LINK_STANDS)
    await submit("--name", "broken", "bash", "-c", "exit 3")
    await page.shows("exit 3")
    await page.shows("NEEDS YOU")
    assert browser.complaints == []
    daemon.stop()
    await page.until(f"!({LINK_STANDS})")
    start_daemon(port=daemon.port)
    await page.until(LINK_STANDS)
    await submit("--name", "later", "bash", "-c", "exit 4")
    await page.shows("exit 4")


async def test_a_code_is_good_once(real_daemon: RealDaemon, browser: Browser) -> None:
    """DU-07: who saw the address that the browser was started with comes too late."""
    url = await address()
    first = await browser.open(url)
    await first.shows("No runs yet")
    # The key outlives the code: the page may be loaded again.
    await first.call("Page.reload")
    await first.shows("No runs yet")
    second = await browser.open(url)
    await second.until("!!document.getElementById('refused')")
    await second.shows("this code was used")
    assert await second.run("sessionStorage.length") == 0


async def test_the_pages_key_starts_nothing(
    real_daemon: RealDaemon, browser: Browser
) -> None:
    """What it was let in for is to look, answer and cancel; the token it never had."""
    page = await browser.open(await address())
    await page.shows("No runs yet")
    token = await penstock("token", "show", "--show")
    assert token.strip() not in await page.run("JSON.stringify(sessionStorage)")
    ask = """fetch("../%s", {method: "%s", body: %s, headers: {
        Authorization: `Bearer ${sessionStorage.getItem("penstock.key")}`,
        "Content-Type": "application/json"}}).then(reply => reply.status)"""
    body = json.dumps(json.dumps({"kind": "command", "inputs": {"argv": ["true"]}}))
    assert await page.run(ask % ("runs", "GET", "undefined")) == 200
    assert await page.run(ask % ("runs", "POST", body)) == 401
    assert await page.run(ask % ("web/codes", "POST", '"{}"')) == 401


class _ForeignPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>foreign</title>")

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def foreign_site() -> Iterator[str]:
    """A page of somebody else's, on this box."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ForeignPage)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_foreign_page_gets_nothing(
    real_daemon: RealDaemon, browser: Browser
) -> None:
    """DU-07: neither by asking, nor with a code, nor by a stream, nor by showing the page in itself."""
    code = (await address()).rpartition("=")[2]
    base = json.dumps(real_daemon.url)
    with foreign_site() as site:
        page = await browser.open(site)
        await page.until("document.title === 'foreign'")
        for what in ("runs", "web/", "health"):
            refused = await page.run(
                f"fetch({base} + '/{what}').then(() => 'read', () => 'refused')"
            )
            assert refused == "refused"
        refused = await page.run(
            f"fetch({base} + '/web/keys', {{method: 'POST', headers: {{'Penstock-Code': '{code}'}}}})"
            ".then(() => 'read', () => 'refused')"
        )
        assert refused == "refused"
        stream = await page.run(
            f"new Promise(done => {{ const ws = new WebSocket({base}.replace('http', 'ws') + '/ws');"
            " ws.onopen = () => done('open'); ws.onerror = () => done('refused'); })"
        )
        assert stream == "refused"
        framed = await page.run(
            f"new Promise(done => {{ const frame = document.createElement('iframe'); frame.src = {base} + '/web/';"
            " frame.onload = () => { try { done(frame.contentDocument?.title ?? 'closed') } catch { done('closed') } };"
            " document.body.append(frame); })"
        )
        assert framed == "closed"
    # Nobody has used the code meanwhile.
    ours = await browser.open(f"{real_daemon.url}/web/#code={code}")
    await ours.shows("No runs yet")
