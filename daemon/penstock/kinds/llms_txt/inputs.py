"""What an llms-txt run is asked for, and what it gives."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.kinds.llms_txt.source import check_absolute, parse_source
from penstock.pipeline import Inputs, Output

_BASE_URL = re.compile(r"https?://[^\s()\[\]<>\"'`\\]+")


def _check_source(text: str) -> str:
    parse_source(text)
    return text


def _check_base_url(text: str) -> str:
    if not _BASE_URL.fullmatch(text):
        raise ValueError(
            "must be an http or https address without spaces, quotes or brackets"
        )
    return text if text.endswith("/") else text + "/"


class LlmsTxtInputs(Inputs):
    """What to describe, and where to write it."""

    source: Annotated[str, AfterValidator(_check_source)] = Field(
        description="Absolute path of a folder, or git address: https://, ssh://, git@host:path, file://"
    )
    out: Annotated[str, AfterValidator(check_absolute)] | None = Field(
        None,
        description="Absolute path of the folder to write in; null: no files, `penstock artifacts`"
        " prints the texts",
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The project's name; null: what its metadata or README say"
    )
    base_url: Annotated[str, AfterValidator(_check_base_url)] | None = Field(
        None,
        description="Put before every link; null: links are relative to the tree's root",
    )
    #: Links in one section: a list a person still reads.
    section_links: int = Field(40, ge=1, le=1000, description="Links in one section")
    #: Files looked at; names alone of many more would fill the memory.
    max_files: int = Field(
        50_000, ge=1, le=500_000, description="Files of the tree looked at"
    )
    #: A larger file is data or generated, and is named and not quoted.
    max_file_bytes: int = Field(
        512 * 1024,
        ge=1,
        le=8 * 1024 * 1024,
        description="Bytes of one file quoted in llms-full.txt",
    )
    #: What a large model takes and leaves room to answer.
    max_tokens: int = Field(
        200_000,
        ge=1,
        le=100_000_000,
        description="Tokens of llms-full.txt, and of llms-ctx.txt, as estimated",
    )
    ctx: bool = Field(
        False,
        description="Write llms-ctx.txt too: the listed files whole, as elements",
    )
    update: bool = Field(
        False,
        description="Keep the order and words of the llms.txt that is in `out`, else in the tree, and add what is new",
    )
    check: bool = Field(
        False,
        description="Write nothing; fail if that llms.txt is stale",
    )
    model: bool | None = Field(
        None,
        description="Let a model write summary and descriptions; null: if one is configured",
    )
    #: A few at a time are read to the model; more than this takes a small one many minutes.
    model_files: int = Field(
        60, ge=0, le=1000, description="Files that the model describes"
    )

    def local(self) -> bool:
        return self.out is not None or parse_source(self.source).transport in (
            None,
            "file",
        )

    def needs_model(self) -> bool:
        return self.model is True


class LlmsTxtOutput(Output):
    """What was written: paths, or the commands that print the texts; sizes in bytes and in estimated tokens.

    Of a check only the llms.txt that was looked at is told.
    """

    title: str
    llms_txt: str
    llms_txt_bytes: int
    llms_txt_tokens: int
    llms_full: str | None = None
    llms_full_bytes: int = 0
    llms_full_tokens: int = 0
    llms_ctx: str | None = None
    llms_ctx_bytes: int = 0
    llms_ctx_tokens: int = 0
    links: int
    files: int
    #: Files that llms-full.txt quotes, and that it has no room for.
    quoted: int = 0
    not_quoted: int = 0
    #: What an update put into the text that was there, and took out of it.
    added: int = 0
    removed: int = 0
