"""Documents of the template and of projects: diagrams, glossary and links match the code."""

import re
import tomllib
from itertools import groupby
from pathlib import Path

import pytest

from tests.rendering import ROOT, Machine, RenderedProject

CHOICES = [
    {"database": "sqlite", "token_verification": "shared-secret", "frontend": "nextjs"},
    {"database": "postgresql", "token_verification": "jwks", "frontend": "none"},
]


@pytest.fixture(params=CHOICES, ids=lambda chosen: "-".join(chosen.values()))
def project(request: pytest.FixtureRequest, machine: Machine) -> RenderedProject:
    return machine.render(**request.param)


@pytest.fixture
def layers(project: RenderedProject) -> list[list[str]]:
    """The modules of each layer, from the import contract."""
    pyproject = tomllib.loads((project.path / "pyproject.toml").read_text())
    [contract] = [
        contract
        for contract in pyproject["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]
    return [re.findall(r"app\.(\w+)", layer) for layer in contract["layers"]]


def test_layers_picture_matches_the_import_contract(layers: list[list[str]]) -> None:
    picture = (ROOT / "docs" / "layers.svg").read_text()
    modules = re.findall(r'class="module" x="\d+" y="(\d+)">(\w+)<', picture)

    rows = [[name for _, name in row] for _, row in groupby(modules, key=lambda module: module[0])]
    assert rows == layers


def test_project_readme_lists_the_layers_of_the_import_contract(
    project: RenderedProject, layers: list[list[str]]
) -> None:
    readme = (project.path / "README.md").read_text()
    listed: list[list[str]] = []
    for number, name in re.findall(r"(?m)^ ([ \d]\d|  )  (\w+)(?:\.py|/) ", readme):
        if number.strip():
            assert int(number) == len(listed) + 1
            listed.append([])
        listed[-1].append(name)

    assert listed == layers


def test_each_module_belongs_to_a_layer(project: RenderedProject, layers: list[list[str]]) -> None:
    modules = {path.stem for path in (project.path / "app").iterdir()} - {"__init__"}

    assert {name for layer in layers for name in layer} == modules


def broken_links(folder: Path, files: list[Path]) -> list[str]:
    """Return the links to missing files and headings."""
    broken = []
    for file in files:
        for link in re.findall(r"\]\(([^)\s]+)\)", (folder / file).read_text()):
            path, _, heading = link.partition("#")
            target = (folder / file).parent / path if path else folder / file
            if re.match(r"https?:", link) or (target.exists() and heading in headings(target)):
                continue
            broken.append(f"{file}: {link}")
    return broken


def headings(file: Path) -> set[str]:
    """Return the anchors of a file; "" stands for the file itself."""
    if file.suffix != ".md":
        return {""}
    titles = re.findall(r"(?m)^#+ (.*)", file.read_text())
    return {"", *(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles)}


def assert_short_and_listed(decisions: Path) -> None:
    pages = {
        str(page.relative_to(decisions)): len(page.read_text().splitlines())
        for page in decisions.rglob("*.md")
        if page.name != "README.md"
    }
    listed = re.findall(r"(?m)^\| \[.*?\]\((\S+)\) \|", (decisions / "README.md").read_text())

    assert sorted(listed) == sorted(pages)
    assert [page for page, lines in pages.items() if lines > 40] == []


def test_decisions_of_a_project_are_short_and_listed(project: RenderedProject) -> None:
    assert_short_and_listed(project.path / "docs" / "decisions")


def test_decisions_of_the_template_are_short_and_listed() -> None:
    assert_short_and_listed(ROOT / "docs" / "decisions")


def test_project_has_no_broken_links(project: RenderedProject) -> None:
    pages = [file for file in project.files if file.suffix == ".md"]

    assert len(pages) >= 7
    assert broken_links(project.path, pages) == []


def test_template_has_no_broken_links() -> None:
    folders = (ROOT / folder for folder in ("docs", "lab"))
    pages = [*ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]

    assert len(pages) >= 12
    assert broken_links(ROOT, [page.relative_to(ROOT) for page in pages]) == []
