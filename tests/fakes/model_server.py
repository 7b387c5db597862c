"""A model server in a process of its own: Ollama's and the OpenAI-compatible protocol over HTTP.

It answers from a script. `POST /__script` takes a list of rules (see `Rule`), `POST /__nature` says
what kind of server it is (see `Nature`), `GET /__log` tells
every request it got and how it ended, `POST /__reset` forgets all. Without a rule that fits it
fills each field the prompt asks for with a few words. It ends when its standard input does.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import trio

MODELS = ("mistral:7b", "qwen3:8b", "large:latest")


class Nature:
    """What kind of server it is.

    loading: all but lists of models is answered 503
    key: what `Authorization` must show, but for lists of models, as llama.cpp has it
    props: what llama.cpp tells at `/props`     slots: what it tells at `/slots`
    max_model_len: the window of each model, as vLLM lists it
    shows: what Ollama tells of its models at `/api/show`
    tokens: tokens that a character is, for `/tokenize`
    """

    def __init__(self, **spec: Any) -> None:
        self.spec = spec

    def answer(
        self, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, Any] | None:
        """Status and body for what is no question to a model; None: it is one."""
        spec = self.spec
        if path == "/api/tags":
            return 200, {"models": [{"name": name} for name in MODELS]}
        if path == "/v1/models":
            extra = {k: spec[k] for k in ("max_model_len",) if k in spec}
            return 200, {"data": [{"id": name, **extra} for name in MODELS]}
        if spec.get("loading"):
            return 503, {"error": {"message": "Loading model", "code": 503}}
        if "key" in spec and headers.get("authorization") != f"Bearer {spec['key']}":
            return 401, {"error": {"message": "Invalid API Key"}}
        if path in ("/props", "/slots") and path[1:] in spec:
            return 200, spec[path[1:]]
        if path == "/tokenize" and "tokens" in spec:
            count = int(len(body["content"]) * spec["tokens"])
            return 200, {"tokens": [0] * count}
        if path == "/api/show" and body["model"] in spec.get("shows", {}):
            return 200, spec["shows"][body["model"]]
        if path not in ("/api/chat", "/v1/chat/completions"):
            return 404, {"error": {"message": "not found"}}
        if not body.get("messages"):
            return 400, {"error": {"message": "no messages"}}
        return None


class Rule:
    """What to answer to a request that fits.

    model, match: the request fits if these are its model and part of its messages' text
    times: how often the rule applies (default: for ever)
    text: the answer; without it, the fields that are asked for are filled
    fields: values of fields that are asked for
    status, retry_after, error: an error response instead of an answer
    delay: seconds between two tokens    hang: say nothing more after this many tokens
    drop: close after this many tokens   finish: the finish reason
    mute: end the stream well, but without the end marker
    wrong: send this line in the middle  bytes: cut the stream into pieces of so many bytes
    refuses: names of fields for a schema, with which a request is answered 400
    usage: tokens of the prompt as told  silent_usage: tell no usage
    thinking: what is thought first, beside the answer
    timings: what llama.cpp tells of its speed   reads: numbers of tokens read, told before
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.left: float = spec.get("times", float("inf"))

    def fits(self, model: str, text: str) -> bool:
        spec = self.spec
        fitting = spec.get("model") in (None, model) and spec.get("match", "") in text
        return fitting and self.left > 0


class Server:
    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.nature = Nature()
        self.log: list[dict[str, Any]] = []

    async def handle(self, stream: trio.SocketStream) -> None:
        reader = Reader(stream)
        try:
            while (request := await reader.request()) is not None:
                if not await self.answer(stream, reader, *request):
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await stream.aclose()

    async def answer(
        self,
        stream: trio.SocketStream,
        reader: Reader,
        path: str,
        headers: dict[str, str],
        body: Any,
    ) -> bool:
        if path == "/__log":
            return await send_json(stream, 200, self.log)
        if path == "/__script":
            self.rules += [Rule(spec) for spec in body]
            return await send_json(stream, 200, {})
        if path == "/__reset":
            self.rules, self.log, self.nature = [], [], Nature()
            return await send_json(stream, 200, {})
        if path == "/__nature":
            self.nature = Nature(**body)
            return await send_json(stream, 200, {})
        if (told := self.nature.answer(path, headers, body)) is not None:
            return await send_json(stream, *told)
        record = {
            "path": path,
            "model": body["model"],
            "messages": body["messages"],
            "authorization": headers.get("authorization"),
            "options": body.get(
                "options", {k: v for k, v in body.items() if k != "messages"}
            ),
            "schema": schema_in(body),
            "body": {k: v for k, v in body.items() if k != "messages"},
            "sent": 0,
            "state": "generating",
        }
        self.log.append(record)
        rule = self.rule(record)
        if set(rule.get("refuses", ())) & record["schema"].keys():
            record["state"] = "refused"
            return await send_error(stream, {"status": 400, "error": "unknown field"})
        if "status" in rule:
            record["state"] = "refused"
            return await send_error(stream, rule)
        return await generate(stream, reader, record, rule)

    def rule(self, record: dict[str, Any]) -> dict[str, Any]:
        text = "\n".join(message["content"] for message in record["messages"])
        for rule in self.rules:
            if rule.fits(record["model"], text):
                rule.left -= 1
                return rule.spec
        return {}


class Reader:
    """Requests out of a stream; also notices that the client has gone."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def request(self) -> tuple[str, dict[str, str], Any] | None:
        while b"\r\n\r\n" not in self.buffer:
            if not await self.more():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {
            k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)
        }
        size = int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            if not await self.more():
                return None
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return first.split(" ")[1], headers, json.loads(body) if body else None

    async def more(self) -> bool:
        data = await self.stream.receive_some(65536)
        self.buffer += data
        return bool(data)


async def generate(
    stream: trio.SocketStream,
    reader: Reader,
    record: dict[str, Any],
    rule: dict[str, Any],
) -> bool:
    """Stream the answer; True if the connection can be used again."""
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            try:
                while await reader.more():
                    pass
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            record["state"] = "closed by client"
            record["closed_at"] = time.monotonic()
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        try:
            record["state"] = await stream_answer(stream, record, rule)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            record["state"] = "closed by client"
        nursery.cancel_scope.cancel()
    return bool(record["state"] == "done")


async def stream_answer(
    stream: trio.SocketStream, record: dict[str, Any], rule: dict[str, Any]
) -> str:
    ollama = record["path"].startswith("/api/")
    kind = b"application/x-ndjson" if ollama else b"text/event-stream"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n"
    await stream.send_all(head % kind)
    send = Pieces(stream, rule.get("bytes"))
    text = rule.get("text", fill(record["messages"], rule.get("fields", {})))
    tokens = tokens_of(text)
    make = ollama_line if ollama else sse_line
    for read in rule.get("reads", ()):
        await send(progress_line(read))
    for thought in tokens_of(rule.get("thinking", "")):
        await send(
            make(
                record["model"], thought, "thinking" if ollama else "reasoning_content"
            )
        )
    for token in tokens:
        if record["sent"] == rule.get("drop"):
            return "dropped"
        if record["sent"] == rule.get("hang"):
            await trio.sleep_forever()
        if record["sent"] == 2 and "wrong" in rule:
            await send(rule["wrong"].encode() + b"\n")
        await send(make(record["model"], token))
        record["sent"] += 1
        await trio.sleep(rule.get("delay", 0))
    if not rule.get("mute"):
        for line in closing_lines(ollama, record, rule, len(tokens)):
            await send(line)
    await send.flush()
    await stream.send_all(b"0\r\n\r\n")
    return "done"


class Pieces:
    """Sends whole lines, or cuts all bytes into pieces without regard for characters."""

    def __init__(self, stream: trio.SocketStream, size: int | None) -> None:
        self.stream, self.size, self.pending = stream, size, b""

    async def __call__(self, data: bytes) -> None:
        self.pending += data
        size = self.size or len(self.pending)
        while len(self.pending) >= size > 0:
            await self.send(self.pending[:size])
            self.pending = self.pending[size:]

    async def send(self, piece: bytes) -> None:
        await self.stream.send_all(b"%x\r\n%s\r\n" % (len(piece), piece))

    async def flush(self) -> None:
        if self.pending:
            await self.send(self.pending)


def progress_line(read: int) -> bytes:
    progress = {"total": 100, "cache": 0, "processed": read}
    chunk = {"choices": [{"index": 0, "delta": {}}], "prompt_progress": progress}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def ollama_line(model: str, text: str, name: str = "content") -> bytes:
    message = {"role": "assistant", "content": "", name: text}
    line = {"model": model, "message": message, "done": False}
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def sse_line(model: str, text: str, name: str = "content") -> bytes:
    choice = {"index": 0, "delta": {name: text}, "finish_reason": None}
    chunk = {"object": "chat.completion.chunk", "model": model, "choices": [choice]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def closing_lines(
    ollama: bool, record: dict[str, Any], rule: dict[str, Any], count: int
) -> list[bytes]:
    prompt = rule.get("usage", sum(len(m["content"]) for m in record["messages"]) // 4)
    finish = rule.get("finish", "stop")
    if ollama:
        end = {
            "model": record["model"],
            "message": {"role": "assistant", "content": ""},
        }
        end |= {"done": True, "done_reason": finish}
        if not rule.get("silent_usage"):
            end |= {
                "prompt_eval_count": prompt,
                "eval_count": count,
                "eval_duration": 10**9,
            }
        return [json.dumps(end).encode() + b"\n"]
    chunk: dict[str, Any] = {
        "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]
    }
    lines = [b"data: " + json.dumps(chunk).encode() + b"\n\n"]
    if record["options"].get("stream_options", {}).get(
        "include_usage"
    ) and not rule.get("silent_usage"):
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": count,
            "total_tokens": prompt + count,
        }
        last: dict[str, Any] = {"choices": [], "usage": usage}
        if "timings" in rule:
            last["timings"] = rule["timings"]
        lines.append(b"data: " + json.dumps(last).encode() + b"\n\n")
    return [*lines, b": goodbye\n\n", b"data: [DONE]\n\n"]


def fill(messages: list[dict[str, str]], fields: dict[str, str]) -> str:
    """An answer in the form that the messages ask for."""
    told = messages[0]["content"]
    if "Answer with one JSON object" in told:
        return fill_json(re.findall(r"^`(\w+)`: ", told, re.MULTILINE), fields)
    if "Answer with these blocks" in told:
        names = re.findall(r"^\d+\. `(\w+)`: ", told, re.MULTILINE)
        return fill_blocks(names, fields)
    asked = re.search(
        r"Respond with the corresponding output fields(.*)",
        messages[-1]["content"],
        re.DOTALL,
    )
    if asked is None:
        return "a plain answer"
    names = [
        name
        for name in re.findall(r"\[\[ ## (\w+) ## \]\]", asked[1])
        if name != "completed"
    ]
    parts = [
        f"[[ ## {name} ## ]]\n{fields.get(name, f'some {name} text')}" for name in names
    ]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def fill_json(names: list[str], fields: dict[str, str]) -> str:
    values = {}
    for name in names:
        text = fields.get(name, f"some {name} text")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = {"True": True, "False": False}.get(text, text)
    return json.dumps(values)


def fill_blocks(names: list[str], fields: dict[str, str]) -> str:
    texts = [fields.get(name, f"some {name} text").strip("\n") for name in names]
    return "\n\n".join(
        text if text.startswith("```") else f"```python\n{text}\n```" for text in texts
    )


def schema_in(body: dict[str, Any]) -> dict[str, Any]:
    """What a request says of the schema of its answer, in any dialect."""
    known = ("response_format", "structured_outputs", "format")
    return {name: body[name] for name in known if name in body}


def tokens_of(text: str) -> list[str]:
    return re.findall(r"\s*\w+|\s*[^\w\s]|\s+", text)


async def send_json(
    stream: trio.SocketStream, status: int, value: Any, head: str = ""
) -> bool:
    body = json.dumps(value).encode()
    first = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{head}content-length: {len(body)}\r\n\r\n"
    await stream.send_all(first.encode() + body)
    return True


async def send_error(stream: trio.SocketStream, rule: dict[str, Any]) -> bool:
    head = f"retry-after: {rule['retry_after']}\r\n" if "retry_after" in rule else ""
    return await send_json(
        stream, rule["status"], {"error": {"message": rule.get("error", "no")}}, head
    )


async def serve() -> None:
    server = Server()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.handle, listeners)
        print(listeners[0].socket.getsockname()[1], flush=True)
        # The end of standard input means that whoever started us has gone.
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
            while await stdin.receive_some(1):
                pass
        nursery.cancel_scope.cancel()


class ModelServer:
    """The running server as tests see it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def script(self, *rules: dict[str, Any]) -> None:
        self._client.post("/__script", json=rules).raise_for_status()

    def be(self, **nature: Any) -> None:
        """From now on a server of this nature."""
        self._client.post("/__nature", json=nature).raise_for_status()

    def reset(self) -> None:
        self._client.post("/__reset").raise_for_status()

    def log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get("/__log").json()
        return found

    async def wait_log(
        self, count: int, *states: str, sent: int = 0
    ) -> list[dict[str, Any]]:
        """The log, once so many requests are in one of these states and have sent so many tokens."""
        with trio.fail_after(60):
            while True:
                log = self.log()
                if (
                    sum(r["state"] in states and r["sent"] >= sent for r in log)
                    >= count
                ):
                    return log
                await trio.sleep(0.005)

    async def wait_over(self) -> list[dict[str, Any]]:
        """The log, once none of its requests is being answered: one that was cut off may come late."""
        with trio.fail_after(60):
            while True:
                log = self.log()
                if all(record["state"] != "generating" for record in log):
                    return log
                await trio.sleep(0.005)

    def close(self) -> None:
        self._client.close()


@contextmanager
def start_model_server() -> Iterator[ModelServer]:
    """A server in a process of its own, gone at the end of the block."""
    argv = [sys.executable, __file__]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        server = ModelServer(int(process.stdout.readline()))
        try:
            yield server
        finally:
            server.close()
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    trio.run(serve)
