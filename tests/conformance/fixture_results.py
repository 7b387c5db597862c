"""What the judge of MCP expects of a server's tools, prompts and resources: its own examples."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import mcp.types as wire


def _png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", pixel), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _wav() -> bytes:
    """One sample of silence."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    data = form + struct.pack("<4sI", b"data", 1) + b"\x80\0"
    return struct.pack("<4sI4s", b"RIFF", 4 + len(data), b"WAVE") + data


PNG = base64.b64encode(_png()).decode()
WAV = base64.b64encode(_wav()).decode()
IMAGE = wire.ImageContent(data=PNG, mime_type="image/png")


def text(words: str) -> wire.TextContent:
    return wire.TextContent(text=words)


def said(words: str, *, failed: bool = False) -> wire.CallToolResult:
    """A result that is one text."""
    return wire.CallToolResult(content=[text(words)], is_error=failed)


def embedded(uri: str, words: str, kind: str = "text/plain") -> wire.EmbeddedResource:
    resource = wire.TextResourceContents(uri=uri, mime_type=kind, text=words)
    return wire.EmbeddedResource(resource=resource)


#: Tools that always say the same.
FIXED: dict[str, wire.CallToolResult] = {
    "test_simple_text": said("This is a simple text response for testing."),
    "test_image_content": wire.CallToolResult(content=[IMAGE]),
    "test_audio_content": wire.CallToolResult(
        content=[wire.AudioContent(data=WAV, mime_type="audio/wav")]
    ),
    "test_embedded_resource": wire.CallToolResult(
        content=[
            embedded(
                "test://embedded-resource", "This is an embedded resource content."
            )
        ]
    ),
    "test_multiple_content_types": wire.CallToolResult(
        content=[
            text("Multiple content types test:"),
            IMAGE,
            embedded(
                "test://mixed-content-resource",
                '{"test":"data","value":123}',
                "application/json",
            ),
        ]
    ),
    "test_error_handling": said(
        "This tool intentionally returns an error for testing", failed=True
    ),
    "json_schema_2020_12_tool": said("ok"),
    "test_x_mcp_header": said("ok"),
    # The daemon's streams are not resumed, which is allowed: its log is the replay.
    "test_reconnection": said("ok"),
}


def user(*contents: Any) -> wire.GetPromptResult:
    """A prompt of one message per content."""
    return wire.GetPromptResult(
        messages=[wire.PromptMessage(role="user", content=each) for each in contents]
    )


def prompt(name: str, arguments: dict[str, str]) -> wire.GetPromptResult | None:
    """A prompt that needs nothing but its arguments; None if there is none of the name."""
    match name:
        case "test_simple_prompt":
            return user(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            one, two = arguments.get("arg1"), arguments.get("arg2")
            return user(text(f"Prompt with arguments: arg1='{one}', arg2='{two}'"))
        case "test_prompt_with_embedded_resource":
            told = "Embedded resource content for testing."
            return user(
                embedded(arguments.get("resourceUri", ""), told),
                text("Please process the embedded resource above."),
            )
        case "test_prompt_with_image":
            return user(IMAGE, text("Please analyze the image above."))
    return None


#: Prompt -> the names of its arguments.
PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


def resource(uri: str) -> wire.TextResourceContents | wire.BlobResourceContents | None:
    """A resource's contents."""
    if uri == "test://static-text":
        told = "This is the content of the static text resource."
        return wire.TextResourceContents(uri=uri, mime_type="text/plain", text=told)
    if uri == "test://static-binary":
        return wire.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
    if uri == "test://watched-resource":
        return wire.TextResourceContents(
            uri=uri, mime_type="text/plain", text="watched"
        )
    match uri.split("/"):
        case ["test:", "", "template", name, "data"]:
            data = {"id": name, "templateTest": True, "data": f"Data for ID: {name}"}
            return wire.TextResourceContents(
                uri=uri, mime_type="application/json", text=json.dumps(data)
            )
    return None
