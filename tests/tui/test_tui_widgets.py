"""The hand-drawn table and tail. TU-04, TU-05."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

from fakes.aio import aio
from penstock.words.output_lines import OutputLines
from penstock.words.printed import piece_of
from penstock_tui.lines import log_line
from penstock_tui.screens.run_tabs import MOST_TEXTS, RunTabs
from penstock_tui.story import RunStory
from penstock_tui.theme import DARK
from penstock_tui.widgets.gauges import QueueGauge, QueueState, spark
from penstock_tui.widgets.lazy_rows import Row, TableColumn
from penstock_tui.widgets.run_table import RunList, _fit
from penstock_tui.widgets.tail import Tail
from penstock_tui.widgets.tail_line import Line

COLUMNS = (
    TableColumn("", 1, toned=True),
    TableColumn("name", 8),
    TableColumn("wide", 10, wanted_from=50),
    TableColumn("rest", 0),
)


class Holder(App[None]):
    """Nothing but the widget under test."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.theme = DARK.name
        self.widget.focus()


class Listening(Holder):
    """Keeps what is to be copied."""

    def __init__(self, widget: Widget, copied: list[tuple[str, int]]) -> None:
        super().__init__(widget)
        self._copied = copied

    def on_tail_copied(self, event: Tail.Copied) -> None:
        self._copied.append((event.text, event.count))


@asynccontextmanager
async def shown(
    widget: Widget, size: tuple[int, int] = (60, 10)
) -> AsyncIterator[Pilot[None]]:
    async with Holder(widget).run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


def rows(*keys: str) -> list[Row]:
    return [Row(key, (">", key, "wide", f"rest of {key}"), "error") for key in keys]


def heading(text: str) -> Row:
    return Row(f"heading {text}", (text,), heading=True)


def lines_of(widget: RunList | Tail) -> list[str]:
    return [widget.render_line(y).text.rstrip() for y in range(widget.size.height)]


@aio
async def test_the_cursor_stays_with_its_row() -> None:
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        table.set_rows(rows("a", "b", "c", "d"))
        await pilot.press("j", "j")
        assert table.selected == "c"
        table.set_rows(rows("d", "c", "b", "a"))
        assert (table.selected, table.cursor) == ("c", 1)
        table.set_rows(rows("a", "b"))
        assert table.selected == "b"
        table.set_rows([])
        assert table.selected is None


@aio
async def test_until_it_is_moved_the_cursor_stays_on_what_needs_attention() -> None:
    table = RunList(COLUMNS, name="t")
    async with shown(table):
        table.set_rows(rows("a", "b"))
        table.set_rows(rows("urgent", "a", "b"))
        assert table.selected == "urgent"


@aio
async def test_every_moving_key() -> None:
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        table.set_rows(rows(*(f"r{number}" for number in range(50))))
        for key, cursor in (
            ("down", 1), ("j", 2), ("k", 1), ("up", 0), ("up", 0), ("G", 49), ("g", 0), ("end", 49),
            ("home", 0), ("pagedown", 8), ("pageup", 0),
        ):  # fmt: skip
            await pilot.press(key)
            assert table.cursor == cursor, key
        await pilot.press("G")
        await pilot.pause()
        assert any("r49" in line for line in lines_of(table))


@aio
async def test_columns_that_have_no_room_are_left_out_and_wide_text_is_cut() -> None:
    """TU-04 80x24 and 60x16 work."""
    table = RunList(COLUMNS, name="t")
    async with shown(table, (40, 5)):
        table.set_rows([Row("a", ("?", "日本語の名前", "wide", "x" * 99))])
        header, row = lines_of(table)[:2]
        assert "wide" not in header
        assert row.startswith("? 日本語")
        assert row.endswith("x…")
        assert table.render_line(1).cell_length == 40
    async with shown(other := RunList(COLUMNS, name="t"), (60, 5)):
        other.set_rows(rows("a"))
        assert "wide" in lines_of(other)[0]


@aio
async def test_only_lines_that_differ_are_drawn_again() -> None:
    """TU-05"""
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        many = rows(*(f"r{number}" for number in range(1000)))
        table.set_rows(many)
        await pilot.pause()
        drawn: list[int] = []
        draw = table._draw

        def counting(*args: object) -> object:
            drawn.append(1)
            return draw(*args)  # type: ignore[arg-type]

        table._draw = counting  # type: ignore[method-assign, assignment]
        table.set_rows(
            [*many[:3], rows("new")[0], *many[4:500], rows("off")[0], *many[501:]]
        )
        await pilot.pause()
        assert len(drawn) == 1


@aio
async def test_rows_that_are_the_same_are_not_even_taken_from_the_cache() -> None:
    """TU-05 a table that draws all its lines each time is a DataTable."""
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        many = rows(*(f"r{number}" for number in range(1000)))
        table.set_rows(many)
        await pilot.pause()
        lines: list[int] = []
        render = table.render_line

        def counting(y: int) -> Strip:
            lines.append(y)
            return render(y)

        table.render_line = counting  # type: ignore[method-assign]
        table.set_rows(list(many))
        await pilot.pause()
        assert lines == []
        table.set_rows([*many[:3], rows("new")[0], *many[4:]])
        await pilot.pause()
        assert lines == [4]
        table.set_rows([*many[:500], rows("off")[0], *many[501:]])
        await pilot.pause()
        assert set(lines) == {4}


@aio
async def test_a_double_click_opens_the_row() -> None:
    opened: list[str] = []

    class Listening(Holder):
        def on_run_list_opened(self, event: RunList.Opened) -> None:
            opened.append(event.key)

    table = RunList(COLUMNS, name="t")
    async with Listening(table).run_test(size=(60, 10)) as pilot:
        table.set_rows(rows("a", "b", "c"))
        await pilot.pause()
        await pilot.click(table, offset=(5, 2))
        assert table.selected == "b"
        await pilot.double_click(table, offset=(5, 2))
        await pilot.press("j", "enter")
        await pilot.pause()
    assert opened == ["b", "c"]


@aio
async def test_the_cursor_comes_back_to_its_run_when_that_does() -> None:
    """TU-02: a filter that hides it, and is taken away, is no reason to be about another run."""
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        table.set_rows(rows("a", "b", "c", "d"))
        await pilot.press("j", "j")
        table.set_rows(rows("a", "d"))
        assert table.selected == "d"
        table.set_rows(rows("a", "b", "c", "d"))
        assert table.selected == "c"


@aio
async def test_the_cursor_passes_headings_by() -> None:
    table = RunList(COLUMNS, name="t")
    async with shown(table) as pilot:
        table.set_rows(
            [heading("one"), *rows("a"), heading("two"), *rows("b"), heading("end")]
        )
        assert table.selected == "a"
        for key, selected in (("j", "b"), ("j", "b"), ("k", "a"), ("k", "a"), ("G", "b"), ("g", "a")):  # fmt: skip
            await pilot.press(key)
            assert table.selected == selected, key
        assert lines_of(table)[1:4] == ["one", "> a        wide       rest of a", "two"]


@aio
async def test_columns_that_nobody_has_anything_for_are_left_out() -> None:
    table = RunList(COLUMNS, name="t")
    async with shown(table):
        table.set_rows(rows("a"))
        assert "wide" in lines_of(table)[1]
        table.set_title("", frozenset({"wide"}))
        assert "wide" not in lines_of(table)[1]


def test_a_cut_is_told_even_where_a_word_ends() -> None:
    """Of wide characters too; and what is just wide enough is no cut."""
    assert _fit("日本 語の名前", 6) == "日本 …"
    assert _fit("日本語", 6) == "日本語"
    assert _fit("日本語", 8, right=True) == "  日本語"
    assert _fit("one two", 4) == "one…"


@aio
async def test_wrapped_lines_lose_nothing_when_the_scroll_bar_comes() -> None:
    """TU-04: rows are made for the width that is left beside it."""
    tail = Tail()
    async with shown(tail, (20, 6)) as pilot:
        await pilot.press("w")
        text = "".join(chr(97 + n % 26) for n in range(60))
        for _ in range(6):
            tail.extend([Line(text)])
            await pilot.pause()
        drawn = "".join(lines_of(tail))
        tail.action_top()
        await pilot.pause()
        assert "".join(lines_of(tail))[:60] == text
        assert "…" not in drawn


@aio
async def test_a_panel_cuts_a_long_line_and_never_wraps_it() -> None:
    """TU-04: a second row would push the bar out of the box."""
    gauge = QueueGauge()
    gauge.value = QueueState((1, 0, 0, 0, 0), 100, 3, "paused: " + "because " * 9)
    async with shown(gauge, (40, 4)):
        first, second = (gauge.render_line(y).text for y in range(2))
        assert first.rstrip().endswith("…")
        assert second.startswith("▕")


@aio
async def test_the_tail_follows_until_someone_scrolls_up() -> None:
    tail = Tail()
    async with shown(tail) as pilot:
        tail.extend(Line(f"line {number}") for number in range(100))
        await pilot.pause()
        assert lines_of(tail)[-1] == "line 99"
        await pilot.press("k")
        await pilot.pause()
        assert not tail.follow
        top = lines_of(tail)[0]
        tail.extend([Line("more")])
        await pilot.pause()
        assert lines_of(tail)[0] == top
        await pilot.press("f")
        await pilot.pause()
        assert lines_of(tail)[-1] == "more"
        await pilot.press("g")
        await pilot.pause()
        assert (lines_of(tail)[0], tail.follow) == ("line 0", False)


@aio
async def test_the_tail_is_bounded_and_what_one_reads_stays_in_place() -> None:
    tail = Tail(most=50)
    async with shown(tail) as pilot:
        tail.extend(Line(f"line {number}") for number in range(50))
        await pilot.pause()
        await pilot.press("k", "k", "k")
        await pilot.pause()
        top = lines_of(tail)[0]
        tail.extend(Line(f"new {number}") for number in range(5))
        await pilot.pause()
        assert len(tail.lines) == 50
        assert lines_of(tail)[0] == top


@aio
async def test_searching_highlights_jumps_and_filters() -> None:
    tail = Tail()
    async with shown(tail) as pilot:
        tail.extend(
            Line(f"{'an Error' if number % 20 == 5 else 'fine'} {number}")
            for number in range(100)
        )
        await pilot.pause()
        tail.look_for("error")
        await pilot.pause()
        assert tail.matching() == 5
        first = tail.render_line(0)
        assert [segment.text for segment in first][1] == "Error"
        await pilot.press("N")
        await pilot.pause()
        assert lines_of(tail)[0] == "an Error 65"
        await pilot.press("n")
        await pilot.pause()
        assert lines_of(tail)[0] == "an Error 85"
        await pilot.press("v")
        await pilot.pause()
        assert [line.text for line in tail.shown] == [
            f"an Error {n}" for n in (5, 25, 45, 65, 85)
        ]
        tail.look_for("")
        assert len(tail.shown) == 100


@aio
async def test_a_text_in_pieces_is_one_text_and_long_lines_wrap() -> None:
    tail = Tail()
    async with shown(tail, (20, 6)) as pilot:
        for piece in ("# Ti", "tle\n\nfirst wo", "rd ", "and \x1b[2J more\n", "end"):
            tail.write(piece)
        await pilot.pause()
        assert [line.text for line in tail.lines] == [
            "# Title",
            "",
            "first word and ␛[2J more",
            "end",
        ]
        assert lines_of(tail)[2].endswith("…")
        await pilot.press("w")
        await pilot.pause()
        assert lines_of(tail)[2:4] == ["first word and ␛[2J", " more"]


def test_bars_of_the_throughput() -> None:
    assert spark([0, 4, 8], 1) == [" ▄█"]
    assert spark([0, 4, 8], 2) == ["  █", " ██"]
    assert spark([], 1) == [""]


def colours_of(strip: Strip) -> list[tuple[str, str | None]]:
    """Each stretch of a drawn line, and the number or name of its colour."""
    drawn = []
    for segment in strip:
        colour = segment.style.color if segment.style else None
        drawn.append((segment.text, colour.name if colour else None))
    return drawn


@aio
async def test_a_line_is_drawn_in_the_colours_it_was_printed_in() -> None:
    """PT-06: of all three kinds; what the program left alone is as the theme has it."""
    printed = "a\x1b[31mred\x1b[38;5;200mpink\x1b[1;38;2;1;2;3mdark\x1b[0m!\n"
    tail = Tail()
    async with shown(tail, (17, 4)) as pilot:
        tail.extend(map(log_line, OutputLines().feed(piece_of("stdout", printed.encode()))))  # fmt: skip
        drawn = colours_of(tail.render_line(0))
        assert [text for text, _ in drawn] == ["a", "red", "pink", "dark", "!", "   "]
        assert [colour for _, colour in drawn][1:4] == ["color(1)", "color(200)", "#010203"]  # fmt: skip
        assert drawn[0][1] == drawn[4][1] == tail._tones.ground.color.name  # type: ignore[union-attr]
        tail.look_for("npi")
        assert [text for text, _ in colours_of(tail.render_line(0))] == ["a", "red", "pink", "dark", "!", "   "]  # fmt: skip
        tail.look_for("dp")
        assert [text for text, _ in colours_of(tail.render_line(0))][1:5] == ["re", "d", "p", "ink"]  # fmt: skip
        tail.look_for("")
        await pilot.press("w")
        await pilot.resize_terminal(6, 4)
        await pilot.pause()
        assert [text for text, _ in colours_of(tail.render_line(1))] == ["ink", "da"]


@aio
async def test_a_drawn_line_is_kept_with_its_colours() -> None:
    """PT-06 TU-05: drawn once; the same words in another colour are another line."""
    tail = Tail()
    async with shown(tail):
        lines = OutputLines().feed(piece_of("stdout", b"\x1b[31ma\x1b[m\n\x1b[32ma\x1b[m\na\n"))  # fmt: skip
        tail.extend(map(log_line, lines))
        strips = [tail.render_line(y) for y in range(3)]
        assert len({colours_of(strip)[0] for strip in strips}) == 3
        assert [tail.render_line(y) for y in range(3)] == strips
        assert all(tail.render_line(y) is strips[y] for y in range(3))


@aio
async def test_a_line_that_grows_stands_below_the_others_until_it_is_whole() -> None:
    """PT-06: a progress bar is one line, live."""
    tail, output = Tail(), OutputLines()
    async with shown(tail):
        for piece, seen in (
            (b"one\nget 1", ["one", "get 1"]),
            (b"\rget 99", ["one", "get 99"]),
            (b"\r\x1b[Kgot\nnext", ["one", "got", "next"]),
            (b"\n", ["one", "got", "next"]),
        ):
            lines = output.feed(piece_of("stdout", piece))
            tail.extend(map(log_line, lines), map(log_line, output.unfinished))
            assert [line for line in lines_of(tail) if line] == seen


@aio
async def test_times_and_one_stream_are_shown_on_demand() -> None:
    """TU-02: `t` puts the time before each line, `o` leaves what was printed as complaints."""
    tail = Tail()
    async with Holder(tail).run_test(size=(40, 10)) as pilot:
        tail.focus()
        tail.extend(
            [
                Line("built", stream="stdout", at="17:00:01"),
                Line("odd", "warning", stream="stderr", at="17:00:02"),
            ]
        )
        await pilot.press("t")
        assert [line.text for line in tail.shown] == [
            "17:00:01  built",
            "17:00:02  odd",
        ]
        await pilot.press("o", "t")
        assert [line.text for line in tail.shown] == ["odd"]
        tail.extend([Line("more", stream="stdout"), Line("worse", stream="stderr")])
        assert [line.text for line in tail.shown] == ["odd", "worse"]
        await pilot.press("o")
        assert len(tail.shown) == 4


@aio
async def test_lines_are_marked_and_copied() -> None:
    """TU-03: from the last line that is seen, upwards as far as one goes; what stands still stays marked."""

    copied: list[tuple[str, int]] = []
    tail = Tail()
    async with Listening(tail, copied).run_test(size=(40, 5)) as pilot:
        tail.focus()
        tail.extend(Line(f"line {number}") for number in range(20))
        await pilot.pause()
        await pilot.press("v", "k", "k")
        assert tail.marked == (19, 17)
        tail.extend([Line("and one more")])
        await pilot.press("y")
        assert copied == [("line 17\nline 18\nline 19", 3)]
        assert tail.marked is None
        await pilot.press("v", *["k"] * 12)
        # It goes on beyond what is seen, which follows.
        assert int(tail.scroll_y) <= min(tail.marked or ())
        await pilot.press("v")
        assert tail.marked is None
        await pilot.press("y")
        assert len(copied) == 1


@aio
async def test_a_mark_on_a_line_that_went_away_is_on_the_last_that_is_there() -> None:
    """TU-03: what grows may be emptied by the program that prints it."""
    copied: list[tuple[str, int]] = []
    tail = Tail()
    async with Listening(tail, copied).run_test(size=(40, 5)) as pilot:
        tail.focus()
        tail.extend([Line("whole")], [Line("12 %"), Line("13 %")])
        await pilot.press("v", "k")
        tail.extend([], [Line("14 %")])
        await pilot.press("y")
        assert copied == [("14 %", 1)]
        tail.replace([])
        tail.extend([], [Line("15 %")])
        await pilot.press("v")
        tail.extend([], [])
        await pilot.press("y")
        assert len(copied) == 1


@aio
async def test_a_wrapped_line_is_copied_as_the_line_that_it_is() -> None:
    """TU-03: where it was wrapped is the screen's affair."""
    copied: list[tuple[str, int]] = []
    tail = Tail()
    async with Listening(tail, copied).run_test(size=(20, 10)) as pilot:
        tail.focus()
        long = "penstock run command -- make -j2 all check"
        tail.extend([Line("before"), Line(long), Line("after")])
        await pilot.press("w", "v", "k", "k", "k", "k", "y")
        assert copied == [(f"before\n{long}\nafter", 3)]


@aio
async def test_escape_takes_a_mark_away_and_else_is_not_the_tails() -> None:
    """TU-03"""
    tail = Tail()
    async with Holder(tail).run_test(size=(40, 5)) as pilot:
        tail.focus()
        tail.extend([Line("a")])
        assert "escape" not in pilot.app.screen.active_bindings
        await pilot.press("v")
        assert "escape" in pilot.app.screen.active_bindings
        await pilot.press("escape")
        assert tail.marked is None


@aio
async def test_keys_that_would_do_nothing_here_are_not_told() -> None:
    """TU-03: of lines that no program printed there is no stream and no time."""
    tail = Tail()
    async with Holder(tail).run_test(size=(40, 5)) as pilot:
        tail.focus()
        tail.extend([Line("a step")])
        assert not {"t", "o"} & pilot.app.screen.active_bindings.keys()
        tail.extend([Line("printed", stream="stdout", at="17:00:01")])
        assert {"t", "o"} <= pilot.app.screen.active_bindings.keys()


class Tabbed(App[None]):
    """Nothing but the tabs of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.tabs = RunTabs()

    def compose(self) -> ComposeResult:
        with self.tabs:
            yield from self.tabs.panes()

    def on_mount(self) -> None:
        self.register_theme(DARK)
        self.theme = DARK.name


@aio
async def test_more_texts_than_tabs_share_one_that_reads_them_alike() -> None:
    """A report that shared the tab of a patch was read as one, and left nothing there."""
    patch = "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-old\n+new\n"
    app = Tabbed()
    async with app.run_test(size=(80, 24)):
        names = [f"report-{n}.md" for n in range(MOST_TEXTS - 1)]
        texts: dict[str, list[str | None]] = {name: [f"{name}\n"] for name in names}
        texts |= {"one.patch": [patch], "last.md": ["the last\n"]}
        await app.tabs.show(RunStory(texts=texts))
        told = [[line.text for line in tail.lines] for tail in app.tabs.query(Tail)]
        assert [lines for lines in told if "    1 +new" in lines]
        assert [names[-1], "the last"] in [lines[:2] for lines in told]
