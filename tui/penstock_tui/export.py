"""Writing a run's facts to a file, as `penstock export` does: one envelope a line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

from penstock.words.address import file_stem
from penstock.words.recorded import Recorded


async def export_facts(
    run_id: str, pages: AsyncIterator[list[Recorded]], folder: Path | None = None
) -> tuple[Path, int]:
    """The file, in the folder one is in, and how many facts it has. It is there whole or not at all."""
    path = (folder or Path()) / f"{file_stem(run_id)}.ndjson"
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with part.open("wb") as file:
            async for facts in pages:
                count += len(facts)
                await asyncio.to_thread(
                    file.write, b"".join(fact.wire() + b"\n" for fact in facts)
                )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path, count
