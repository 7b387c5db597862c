"""Text of strangers made harmless: one line, no markup, nothing that could end a link or a line."""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import quote

# Controls, invisible and direction-changing characters, surrogates, unassigned and private ones.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Cn", "Co"})

#: Characters of a text that are looked at for markup: of a longer one no more is ever told.
LONGEST_STRIPPED = 16 * 1024

# Every pattern is linear: no nested repetition, and where two parts could trade characters the
# first one never gives back what it took (`++`), or both are short.
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,500}>")
_IMAGE = re.compile(r"!\[[^\[\]]{0,300}\]\([^()\s]{0,500}\)")
_LINK = re.compile(r"\[([^\[\]]{1,300})\](?:\([^()\n]{0,500}\)|\[[^\[\]]{0,100}\])")
_RST_LINK = re.compile(r"`([^`<>]{1,300}+)<[^`<>]{1,500}+>`_{1,2}")
_RST_ROLE = re.compile(r":[a-z:+-]{2,30}:`[~!]?([^`<>]{1,300}+)(<[^`<>]{1,300}+>)?`")
_RST_REFERENCE = re.compile(r"`([^`]{1,300})`_{1,2}")
_RST_WORD_REFERENCE = re.compile(
    r"(?<![\w-])([A-Za-z0-9][\w-]{0,60})(?<!_)_(?=[\s.,;:)]|$)"
)
_SUBSTITUTION = re.compile(r"\|[A-Za-z0-9 _-]{1,60}\|")
_MYST_ROLE = re.compile(r"\{[a-z:_-]{2,30}\}`[~!]?([^`<>]{1,300}+)(<[^`<>]{1,300}+>)?`")
_TARGET = re.compile(r"<[^<>]{1,200}+>$")
_EMPHASIS = re.compile(r"(?<!\w)\*{1,3}(?=[\w{])|(?<=[\w.!?)}])\*{1,3}(?!\w)")
# Underscores are mostly parts of names: only a pair around words is emphasis.
_UNDERSCORED = re.compile(
    r"(?<!\w)(_{1,2})(?=[^\s_])([^_\n]{1,200} [^_\n]{1,200}|[^_\W]{1,60})\1(?!\w)"
)
_CODE = re.compile(r"`+")
_CODE_SPAN = re.compile(r"(`{1,2})([^`\n<>]{0,200}<[^`\n]{0,200})\1")
_BLANK = re.compile(r"\s+")
# What stripping leaves before a full stop or comma.
_LOOSE_STOP = re.compile(r" ([.,;:!?])(?= |$)")
_ENTITIES = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&nbsp;": " ",
    "&mdash;": "—",
}
_OPENS_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_SENTENCE_END = re.compile(
    r"(?:(?<=[^.\s][^.\s][.!?])|(?<=\d[.]))\s+(?=[^a-z\s])|(?<=[\u3002\uff01\uff1f])"
)
# These would begin a heading, quote, list, fence or table if the text began a line.
_LINE_STARTERS = "#>-+*=|~: \t"


def harmless(text: str) -> str:
    """`text` as one line of visible characters, without what Markdown or a parser would obey."""
    # Of printable ASCII nothing is harmful, and most texts are nothing else.
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if c.isspace() else c for c in text)
        text = "".join(
            c for c in text if unicodedata.category(c) not in _HARMFUL or c == " "
        )
    text = text.replace("[", "(").replace("]", ")").replace("\\", "/").replace("`", "'")
    return _BLANK.sub(" ", _OPENS_TAG.sub("\u2039", text)).strip()


def cut_comments(text: str) -> str:
    """`text` without HTML comments. A search by pattern would start anew at each open comment."""
    kept: list[str] = []
    begin = 0
    while (start := text.find("<!--", begin)) >= 0 and (
        end := text.find("-->", start)
    ) >= 0:
        kept.append(text[begin:start])
        begin = end + 3
    return " ".join([*kept, text[begin:]])


def _words(match: re.Match[str]) -> str:
    """The words of a link or role, without the blanks before the target that follows them."""
    words = match[1]
    has_target = match.re is _RST_LINK or match[2] is not None
    return (words.rstrip() or words[0]) if has_target else words


def _without_target(text: str) -> str:
    """`text` without an address in angle brackets at its end, and the blanks before it."""
    found = _TARGET.search(text)
    return (
        text if found is None else text[: found.start()].rstrip() + text[found.end() :]
    )


def _inner(match: re.Match[str]) -> str:
    """The words inside a pair of underscores; `__name__` in one word is a name."""
    return match[0] if match[1] == "__" and " " not in match[2] else match[2]


def _code_words(match: re.Match[str]) -> str:
    """A span of code, in which `<word>` is no tag; not a link or role, whose target stands in such brackets."""
    if match[1] == "`" and (
        match[2].endswith(">") or match.string[: match.start()].endswith((":", "}"))
    ):
        return match[0]
    return match[1] + match[2].replace("<", "\u2039") + match[1]


def strip_markup(text: str) -> str:
    """`text` as one plain line: Markdown, reStructuredText and HTML are taken off."""
    text = cut_comments(text[:LONGEST_STRIPPED])
    if "`" in text and "<" in text:
        text = _CODE_SPAN.sub(_code_words, text)
    text = _IMAGE.sub(" ", text)
    text = without_links(text)
    for pattern in (_RST_LINK, _RST_ROLE, _MYST_ROLE):
        text = pattern.sub(_words, text)
    text = _RST_REFERENCE.sub(r"\1", text)
    text = _TAG.sub(" ", _SUBSTITUTION.sub(" ", text))
    text = _without_target(_RST_WORD_REFERENCE.sub(r"\1", text))
    text = _UNDERSCORED.sub(_inner, _CODE.sub("", _EMPHASIS.sub("", text)))
    for entity, plain in _ENTITIES.items():
        text = text.replace(entity, plain)
    return tidy(text)


def without_links(text: str) -> str:
    """`text` with the words of links alone."""
    return _LINK.sub(r"\1", text) if "][" in text or "](" in text else text


def tidy(text: str) -> str:
    """`text` on one line, without the blanks that marks leave."""
    return _LOOSE_STOP.sub(r"\1", _BLANK.sub(" ", text)).strip()


def plain_roles(text: str) -> str:
    """`text` without the roles of MyST, which no parser of Markdown knows, but with their words."""
    return _MYST_ROLE.sub(_words, text) if "}`" in text else text


def one_line(text: str, longest: int) -> str:
    """`text` as at most `longest` harmless characters, cut between words; may be empty."""
    # Nothing of a text far beyond the limit is shown, so nothing of it need be looked at.
    text = harmless(text[: longest * 20]).lstrip(_LINE_STARTERS)
    return shorten(text, longest)


def shorten(text: str, longest: int) -> str:
    """`text` if it is short enough, else its beginning and an ellipsis."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    return (head.rsplit(" ", 1)[0] if " " in head[longest // 2 :] else head).rstrip(
        " ,;:"
    ) + "…"


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence."""
    return _SENTENCE_END.split(text, maxsplit=1)[0].strip()


def title_of(text: str, fallback: str, longest: int) -> str:
    """A link's title: never empty, without brackets."""
    title = one_line(text, longest).strip(" *#:")
    return (
        title
        or shorten(harmless(fallback), longest)
        or shorten(encode_path(fallback), longest)
    )


def encode_path(path: str) -> str:
    """A path as part of a URL: everything but letters, digits and `/-._~` is percent-encoded."""
    return quote(os.fsencode(path), safe="/")


def shown_path(path: str) -> str:
    """A path as a person reads it, on one line; undecodable bytes become U+FFFD."""
    text = os.fsencode(path).decode(errors="replace")
    return harmless(text) or encode_path(path)
