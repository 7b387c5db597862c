"""Cancelling a run: asked once, then the receipt as it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Button, Static

from penstock.words.cancel_receipt import BY_LEASE, left_of, moments_of
from penstock.words.errors import PenstockError
from penstock_tui.screens.dialog import Dialog, label
from penstock_tui.wording import CROSS, clock_time, plain

#: Seconds between two pictures of the waiting time.
BEAT = 0.1

CancelRun = Callable[[], Awaitable[Mapping[str, Any]]]
#: Why nothing may be heard of the run, in words; "" while its box is heard.
Doubt = Callable[[], str]


class CancelDialog(Dialog):
    """Asks, cancels, and shows what the daemon proves about the end."""

    heading = "Cancel"

    def __init__(
        self,
        run_id: str,
        about: str,
        cancel: CancelRun,
        doubt: Doubt = lambda: "",
    ) -> None:
        super().__init__()
        self._doubt = doubt
        self._run_id, self._about, self._cancel = run_id, about, cancel
        self._asked: float | None = None
        self._outcome: str | None = None

    def contents(self) -> Iterable[Widget]:
        yield label(f"Cancel {plain(self._run_id)}?\n{self._about}")
        yield label("", name="receipt")
        yield Horizontal(
            Button("Cancel the run", variant="error", id="yes"),
            Button("Leave it", id="no"),
            id="buttons",
        )

    def on_mount(self) -> None:
        self.query_one("#yes", Button).focus()
        self.set_interval(BEAT, self._beat)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id != "yes" or self._asked is not None:
            self.dismiss(None)
            return
        self._asked = monotonic()
        event.button.disabled = True
        leave = self.query_one("#no", Button)
        leave.label = "Close"
        leave.focus()
        self.run_worker(self._go())

    async def _go(self) -> None:
        try:
            receipt = await self._cancel()
        except PenstockError as error:
            self._show_outcome(f"{CROSS} {error}")
        else:
            self._show_outcome("\n".join(receipt_lines(receipt, self._doubt())))

    def _beat(self) -> None:
        if self._outcome is not None:
            # A text that grows while the screen is being arranged can keep its old height.
            self._show(self._outcome)
        elif self._asked is not None:
            waits = f"… waiting for the proof that it is gone   {monotonic() - self._asked:.1f} s"
            self._show("\n".join(filter(None, (waits, plain(self._doubt())))))

    def _show_outcome(self, text: str) -> None:
        self._outcome = text
        self._show(text)

    def _show(self, text: str) -> None:
        if self.is_attached:
            self.query_one("#receipt", Static).update(text)


def receipt_lines(receipt: Mapping[str, Any], doubt: str = "") -> list[str]:
    """A cancel's receipt in words; `doubt`: why nothing was heard, if nothing is proven."""
    outcome = str(receipt.get("outcome", "?")).replace("_", " ")
    asked, gone = moments_of(receipt)
    lines = [
        f"✓ {outcome}"
        if gone or outcome != "cancelled"
        else f"… {outcome}, not proven gone"
    ]
    if doubt and not gone:
        lines.append(f"{doubt}; its processes end with its lease")
    if asked:
        lines.append(f"requested  {clock_time(asked, millis=True)}")
    if asked and gone:
        after = (gone - asked).total_seconds()
        lines.append(
            f"gone       {clock_time(gone, millis=True)}  ({after:.2f} s later)"
        )
    if box := receipt.get("box"):
        lines.append(f"box        {box}")
    by_lease = receipt.get("method") == BY_LEASE
    told = (
        "  (the box was lost; what ran there ended with its lease)" if by_lease else ""
    )
    lines.append(f"method     {receipt.get('method', 'none')}{told}")
    lines.append(f"pids       {_pids(receipt.get('pids'))}")
    lines.append(f"survivors  {_pids(left_of(receipt))}")
    return [plain(line) for line in lines]


def _pids(pids: object) -> str:
    if isinstance(pids, list | tuple):
        return " ".join(map(str, pids)) or "none"
    return str(pids or "none")
