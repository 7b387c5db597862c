"""Documents of other forms in the marks of Markdown, as far as title and first prose need it.

For AsciiDoc, RDoc and POD there is no parser for Python that is kept; docs/llms-txt.md tells which were looked
at. Lines are looked at one by one, and what a block holds that is no prose is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from penstock.kinds.llms_txt.languages import Language

# Cells of a notebook in which its title and first words are looked for.
_MOST_CELLS = 12

_ADOC_HEADING = re.compile(r"={1,6}[ \t]{1,9}(\S[^\n]{0,300})$")
_ADOC_ATTRIBUTE = re.compile(r":!?([\w-]{1,60})!?:[ \t]{0,9}([^\n]{0,300})$")
_ADOC_BLOCK = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|_{4,}|\*{4,}|={4,}|\|={3,}|,={3,}|```.{0,40})$")  # fmt: skip
_ADOC_NO_PROSE = re.compile(
    r"[ \t]|//|\[[^\n]{0,300}\]$|\.[^\s.]|(include|ifdef|ifndef|ifeval|endif|image|video|toc|xref|link)::|image:|pass:|[-*.]{1,5}[ \t]|\d{1,3}\.[ \t]|\||(NOTE|TIP|WARNING|IMPORTANT|CAUTION):[ \t]|\+$|<\d{1,2}>|[^\n]{1,200}::($|[ \t])"
)  # fmt: skip
# Who wrote it, and which version it is, below the title.
_ADOC_AUTHOR = re.compile(r"[^\n<>]{1,200}<[^\s<>@]{1,100}@[^\s<>]{1,100}>|v?\d[\w.]{0,20}(, [^\n]{0,100})?$")  # fmt: skip
_ADOC_INLINE = (
    (re.compile(r"(image|icon|kbd|btn|pass|footnote|anchor|indexterm2?):[^\s\[\]]{0,300}\[[^\[\]]{0,300}\]"), " "),
    (re.compile(r"(?:link|mailto|xref):[^\s\[\]]{1,300}\[([^\[\]]{1,300}?)(?:,[^\[\]]{0,200})?\]"), r"\1"),
    (re.compile(r"https?://[^\s\[\]]{1,300}\[([^\[\]]{1,300}?)(?:,[^\[\]]{0,200})?\]"), r"\1"),
    (re.compile(r"<<[^<>,]{1,200},[ ]{0,3}([^<>]{1,200})>>"), r"\1"),
    (re.compile(r"\[\[[^\[\]]{1,200}\]\]"), ""),
)  # fmt: skip
_ADOC_REFERENCE = re.compile(r"\{([\w-]{1,60})\}")

_ORG_HEADING = re.compile(r"\*{1,8}[ \t]{1,9}(?:(?:TODO|DONE)[ \t])?(\S[^\n]{0,300}?)(?:[ \t]{1,99}:[\w:@]{1,100}:)?$")  # fmt: skip
_ORG_TITLE = re.compile(r"#\+title:[ \t]{0,9}(\S[^\n]{0,300})$", re.IGNORECASE)
_ORG_BEGIN = re.compile(r"[ \t]{0,20}(#\+begin_\w{1,30}\b|:(PROPERTIES|LOGBOOK):$)", re.IGNORECASE)  # fmt: skip
_ORG_END = re.compile(r"[ \t]{0,20}(#\+end_\w{1,30}|:END:$)", re.IGNORECASE)
_ORG_NO_PROSE = re.compile(r"[ \t]{0,20}(#|[-+][ \t]|\d{1,3}[.)][ \t]|\||:[ \t]|\[fn:|-{5,}$)")  # fmt: skip
_ORG_INLINE = (
    (re.compile(r"\[\[[^\[\]]{1,300}\]\[([^\[\]]{1,300})\]\]"), r"\1"),
    (re.compile(r"\[\[[^\[\]]{1,300}\]\]"), " "),
    (re.compile(r"(?<![\w])([=~*/])(\S(?:[^\n=~*/]{0,100}\S)?)\1(?![\w])"), r"\2"),
)  # fmt: skip

_RDOC_HEADING = re.compile(r"={1,6}[ \t]{0,9}([^\s=][^\n]{0,300})$")
_RDOC_NO_PROSE = re.compile(r":(call-seq|title|main|include|stopdoc|startdoc|nodoc)\b|[-*][ \t]|\d{1,3}\.[ \t]|\[[^\[\]]{1,99}\]|---|[ \t]")  # fmt: skip
_RDOC_INLINE = (
    (re.compile(r"\{([^{}]{1,200})\}\[[^\[\]]{1,300}\]"), r"\1"),
    (re.compile(r"\b([\w.-]{1,60})\[(?:https?|rdoc-ref|link):[^\[\]]{1,300}\]"), r"\1"),
    (re.compile(r"(?<!\w)\+([\w.:#?!]{1,100})\+(?!\w)"), r"\1"),
)  # fmt: skip

_POD_HEADING = re.compile(r"=head\d[ \t]{1,9}(\S[^\n]{0,300})$")
_POD_BEGIN = re.compile(r"=(begin|over|for|pod|encoding)\b")
_POD_END = re.compile(r"=(end|back|cut)\b")
_POD_INLINE = (
    (re.compile(r"L<(?:([^<>|]{1,200})\|)?([^<>|]{1,300})>"), lambda found: found[1] or found[2]),
    (re.compile(r"[A-KM-Z]<{1,2} ?([^<>]{1,300}?) ?>{1,2}"), r"\1"),
)  # fmt: skip

_MARKDOWN_CELL = re.compile(r"\"cell_type\"[ \t]{0,9}:[ \t]{0,9}\"markdown\"")
_SOURCE = re.compile(r"\"source\"[ \t]{0,9}:\s{0,99}")


def as_markdown(text: str, language: Language) -> str:
    """The beginning of a document; of Markdown and reStructuredText, which are read as they are, all."""
    translate = _FORMS.get(language)
    return text if translate is None else translate(text)


def _asciidoc(text: str) -> str:
    said: dict[str, str] = {}
    lines: list[str] = []
    block = ""
    titled = 0
    for line in text.split("\n"):
        line = line.rstrip()
        if block or (_ADOC_BLOCK.match(line) and not _is_underline(line, lines)):
            # A block ends with the line that it began with.
            block = "" if line == block else block or ("```" if line.startswith("```") else line)  # fmt: skip
            lines.append("")
        elif heading := _ADOC_HEADING.match(line):
            titled = titled or len(lines) + 1
            lines += [
                "",
                f"{'#' if titled == len(lines) + 1 else '##'} {heading[1]}",
                "",
            ]
        elif attribute := _ADOC_ATTRIBUTE.match(line):
            said[attribute[1]] = attribute[2]
        elif titled and len(lines) <= titled + 3 and _ADOC_AUTHOR.match(line):
            continue
        else:
            lines.append("" if _ADOC_NO_PROSE.match(line) else line)
    plain = _ADOC_REFERENCE.sub(lambda found: said.get(found[1], ""), "\n".join(lines))
    return _replaced(plain, _ADOC_INLINE)


def _is_underline(line: str, lines: list[str]) -> bool:
    """Whether a line of marks belongs to a heading of the old form."""
    return bool(lines and lines[-1]) and abs(len(lines[-1]) - len(line)) <= 1


def _org(text: str) -> str:
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if inside:
            inside = _ORG_END.match(line) is None
        elif _ORG_BEGIN.match(line):
            inside = True
            lines.append("")
        elif title := _ORG_TITLE.match(line):
            lines += [f"# {title[1]}", ""]
        elif heading := _ORG_HEADING.match(line):
            lines += ["", f"## {heading[1]}", ""]
        else:
            lines.append("" if _ORG_NO_PROSE.match(line) else line.strip())
    return _replaced("\n".join(lines), _ORG_INLINE)


def _rdoc(text: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        heading = _RDOC_HEADING.match(line)
        if heading:
            lines += ["", f"{'##' if line.startswith('==') else '#'} {heading[1]}", ""]
        else:
            lines.append("" if _RDOC_NO_PROSE.match(line) else line)
    return _replaced("\n".join(lines), _RDOC_INLINE)


def _pod(text: str) -> str:
    """Headings in capitals are those of parts: below the first, "NAME", stands "Name - sentence"."""
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if heading := _POD_HEADING.match(line):
            marks = "##" if heading[1].isupper() or line[5] != "1" else "#"
            lines += ["", f"{marks} {heading[1]}", ""]
        elif line.startswith("="):
            inside = _POD_BEGIN.match(line) is not None and not _POD_END.match(line)
            lines.append("")
        elif not inside:
            lines.append("" if line[:1] in {" ", "\t"} else line)
    return _replaced("\n".join(lines), _POD_INLINE)


def _notebook(text: str) -> str:
    """The words of the first cells; of a notebook that was not read to its end too."""
    return "\n\n".join(_cells(text))


def _cells(text: str) -> Iterator[str]:
    decode = json.JSONDecoder().raw_decode
    for count, cell in enumerate(_MARKDOWN_CELL.finditer(text)):
        source = _SOURCE.search(text, cell.end())
        if source is None or count == _MOST_CELLS:
            return
        try:
            said, _ = decode(text, source.end())
        except (ValueError, RecursionError):
            return
        yield said if isinstance(said, str) else "".join(map(str, said)) if isinstance(said, list) else ""  # fmt: skip


def _html(text: str) -> str:
    # Most trees have no such page, and the process that reads one lives for a tenth of a second.
    from penstock.kinds.llms_txt.html_page import read_page

    return read_page(text)


def _replaced(text: str, patterns: tuple[tuple[re.Pattern[str], object], ...]) -> str:
    for pattern, words in patterns:
        text = pattern.sub(words, text)  # type: ignore[call-overload]
    return text


_FORMS: dict[Language, Callable[[str], str]] = {
    "adoc": _asciidoc,
    "org": _org,
    "rdoc": _rdoc,
    "pod": _pod,
    "notebook": _notebook,
    "html": _html,
}
