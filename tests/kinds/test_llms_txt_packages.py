"""ML-02: each package of a tree of packages gets its share of the listed code, and is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llms_txt import parse_llms_file  # type: ignore[import-untyped]

from fakes.kind_runs import run_kind
from penstock.kinds.llms_txt.packages import (
    Package,
    Packages,
    build_files,
    packages_of,
    read_package,
    standing_files,
    summary_by,
)
from penstock.kinds.llms_txt.pipeline import KIND


def _write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _package(name: str, **more: object) -> str:
    import json

    return json.dumps({"name": name, **more})


async def _code(root: Path, tmp_path: Path, links: int) -> list[Any]:
    out = tmp_path / "out"
    inputs = {"source": str(root), "out": str(out), "section_links": links}
    run = await run_kind(KIND, inputs, tmp_path / "runs")
    assert run.view.state == "completed", run.view.error
    read = parse_llms_file((out / "llms.txt").read_text())
    return list(read.sections["Code"])


async def test_the_first_file_of_each_package_comes_before_the_second_of_any(
    tmp_path: Path,
) -> None:
    """LT-03 ML-02 By the package's name and the path in it; what the project keeps to itself has no share."""
    root = tmp_path / "tree"
    large = {f"packages/large/src/part{n}.ts": "export const x = 1\n" for n in range(9)}
    _write(
        root,
        {
            "README.md": "# Tree\n\nA tree of packages, told in a sentence.\n",
            "package.json": _package("tree-root", private=True),
            "packages/large/package.json": _package("@tree/large"),
            "packages/large/src/index.ts": "export * from './part1'\n",
            "packages/small/package.json": _package("@tree/small"),
            "packages/small/src/index.ts": "import { x } from '@tree/core/deep'\n",
            "packages/core/package.json": _package("@tree/core"),
            "packages/core/src/index.ts": "export const core = 1\n",
            "website/package.json": _package("website"),
            "website/src/index.ts": "export const site = 1\n",
            "playing/package.json": _package("playing", private=True),
            "playing/src/index.ts": "export const playing = 1\n",
            **large,
        },
    )
    links = await _code(root, tmp_path, 5)
    assert not any("playing" in link.url for link in links)
    assert [link.title for link in links][:3] == [
        "@tree/core: src/index.ts",
        "@tree/large: src/index.ts",
        "@tree/small: src/index.ts",
    ]


async def test_a_package_that_others_come_with_is_listed_first(tmp_path: Path) -> None:
    """ML-02 Where the root is a package, plug-ins beside it do not push it out."""
    root = tmp_path / "tree"
    main = {f"lib/part{n}.js": "exports.x = 1\n" for n in range(5)}
    beside = {
        f"extra/{name}/{file}": text
        for name in ("a", "b", "c")
        for file, text in (("package.json", _package(name)), ("index.js", "exports.x = 1\n"))
    }  # fmt: skip
    readme = {"README.md": "# Tree\n\nA tree with things beside it.\n"}
    _write(root, {"package.json": _package("tree"), **readme, **main, **beside})
    links = await _code(root, tmp_path, 40)
    assert [link.url for link in links[:5]] == sorted(main)


def test_packages_are_told_by_their_build_files() -> None:
    """ML-02 Not those of tests, examples and what is vendored."""
    paths = [
        "package.json",
        "crates/one/Cargo.toml",
        "a/test/fixtures/x/package.json",
        "examples/y/package.json",
        "vendor/z/composer.json",
    ]
    assert build_files(paths) == ["package.json", "crates/one/Cargo.toml"]
    said = '{"main": "./m.js", "description": "Does it."}'
    package = Package("a/b/", "b", ("a/b/m.js",), "Does it.")
    assert read_package("a/b/package.json", said) == package
    assert read_package("a/package.json", '{"private": true, "name": "x"}').name == ""
    assert read_package("a/package.json", "{").name == ""
    assert summary_by("B", [package]) == "Does it."


def test_one_package_beside_a_root_shares_nothing() -> None:
    """ML-02 A tree with a website or a plug-in is no tree of packages."""
    found = [Package("", "root"), Package("a/", "a")]
    assert packages_of(found, ["x.py", "a/y.py"]) == []
    assert not Packages().ordered


def test_a_package_stands_by_the_entry_that_it_names() -> None:
    """ML-02 Who imports a package by its name speaks of that file."""
    packages = [Package("a/", "@x/a", ("a/main.js",)), Package("b/", "@x/b")]
    code = ["a/early.js", "a/main.js", "b/first.js", "b/second.js", "c.js"]
    assert standing_files(packages, code) == {"@x/a": "a/main.js", "@x/b": "b/first.js"}
