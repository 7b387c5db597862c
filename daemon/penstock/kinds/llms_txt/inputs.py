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
        description="Absolute path of the folder to write in; null: the run's own workspace, which"
        " is removed with it (`penstock artifacts` prints the texts)",
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
    model: bool | None = Field(
        None,
        description="Let a model write summary and descriptions; null: if one is configured",
    )
    #: A few at a time are read to the model; more than this takes a small one many minutes.
    model_files: int = Field(
        60, ge=0, le=1000, description="Files that the model describes"
    )

    def needs_model(self) -> bool:
        return self.model is True


class LlmsTxtOutput(Output):
    """What was written; sizes in bytes."""

    title: str
    llms_txt: str
    llms_txt_bytes: int
    llms_full: str
    llms_full_bytes: int
    links: int
    files: int
    quoted: int
