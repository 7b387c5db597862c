"""ML-04: what may be described; everything else is refused at submit with a sentence."""

from __future__ import annotations

import pytest

from penstock.kinds.llms_txt.pipeline import KIND
from penstock.kinds.llms_txt.source import Source, parse_source
from penstock.words.errors import Refused


@pytest.mark.parametrize(
    ("text", "transport", "name"),
    [
        ("/srv/code/thing", None, "thing"),
        ("/srv/with space/ü", None, "ü"),
        ("/", None, "source"),
        ("https://github.com/owner/thing.git", "https", "thing"),
        ("https://example.org:8443/thing/", "https", "thing"),
        ("https://[::1]/thing", "https", "thing"),
        ("ssh://git@example.org:22/owner/thing.git", "ssh", "thing"),
        ("git@example.org:owner/thing.git", "ssh", "thing"),
        ("git@example.org:thing", "ssh", "thing"),
        ("file:///srv/thing.git", "file", "thing"),
    ],
)
def test_a_folder_and_four_forms_of_git_address_are_taken(
    text: str, transport: str | None, name: str
) -> None:
    """ML-04 Transport and fallback name follow from the text."""
    source = parse_source(text)
    assert source == Source(text, transport)  # type: ignore[arg-type]
    assert source.name == name


@pytest.mark.parametrize(
    "text",
    [
        "", "relative/path", "./x", "~/x", "thing", "-u/tmp/evil", "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x", "ext::x", "fd::17", "git://example.org/x", "http://example.org/x",
        "ftp://example.org/x", "HTTPS+ext://example.org/x", "https://", "https:///x",
        "https://example.org", "https://example.org/", "https://-oProxyCommand=x/y",
        "ssh://-oProxyCommand=x/y", "ssh://-x@example.org/y", "-x@example.org:y",
        "git@-oProxyCommand=x:y", "git@example.org:-x", "git@example.org::x", "git@example.org:",
        "https://user:secret@example.org/x", "https://token@example.org/x",
        "ssh://git:secret@example.org/x", "https://example.org:99999/x", "file://other.host/x",
        "file://relative", "https://example.org/a b", "https://example.org/a\nb", "/a\0b", "a" * 5000,
    ],
)  # fmt: skip
def test_everything_else_is_refused_before_anything_runs(text: str) -> None:
    """ML-04 Other transports, options, secrets, relative paths: refused with the field's name."""
    with pytest.raises(Refused) as refused:
        KIND.parse({"source": text})
    assert refused.value.field == "inputs.source"
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("out", "relative"),
        ("out", ""),
        ("out", "/a\0b"),
        ("base_url", "javascript:alert(1)"),
        ("base_url", "https://example.org/a b"),
        ("base_url", "https://example.org/(x)"),
        ("section_links", 0),
        ("max_files", -1),
        ("name", ""),
        ("unknown", 1),
    ],
)
def test_bad_inputs_are_refused_by_name(field: str, value: object) -> None:
    """ML-04 The sentence names the field."""
    with pytest.raises(Refused) as refused:
        KIND.parse({"source": "/srv/x", field: value})
    assert refused.value.field == f"inputs.{field}"


def test_a_base_url_gets_its_slash() -> None:
    """ML-04 So that an address is base plus path."""
    inputs = KIND.parse({"source": "/srv/x", "base_url": "https://example.org/tree"})
    assert inputs.model_dump()["base_url"] == "https://example.org/tree/"
