"""Follow the pages in docs/ of a project: apply their diffs and write their files."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.rendering import RenderedProject

NAME = re.compile(r"`([\w/]+\.py|frontend/[\w./-]+\.tsx?)`:\n\n\Z")


def blocks(text: str, kinds: str) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, content and file name of each block, in order. Most have the name ""."""
    for block in re.finditer(rf"(?ms)^```({kinds})\n(.*?)^```$", text):
        name = NAME.search(text[: block.start()])
        yield block[1], block[2], name[1] if name else ""


def applying(diff: str) -> str:
    """Return the command that applies a diff."""
    return f"git apply <<'END'\n{diff}END\n"


def follow(project: RenderedProject, page: str) -> list[Path]:
    """Apply the diffs and write the files of a page, in order. Return the files."""
    text = (project.path / "docs" / page).read_text()
    written = []
    for kind, content, name in blocks(text, "diff|python|tsx?"):
        if kind == "diff":
            project.run(applying(content))
        elif name:
            file = project.path / name
            assert not file.exists()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
            written.append(Path(name))
        else:
            assert kind == "ts", f"{page} does not name the file of a block"
    return written
