"""`make recording`: record a terminal session from the template to a first task, as SVG.

Two terminals are typed to: the second one while the first one serves. What they showed is in
docs/first-task.svg, as text; test_recording.py compares it with what is said today.
"""

import html
import os
import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.rendering import PROJECT, ROOT, Machine
from tests.terminal import Terminal

PICTURE = ROOT / "docs" / "first-task.svg"
COLUMNS = 104  # enough for the longest line
SHELL = ("bash", "--norc", "--noprofile", "--noediting", "-i")
PROMPT = "$ "
SCAFFOLD = "cookiecutter gh:org/template"
ANSWERS = ("Shopping List", *[""] * 7)


def first_task(project: Path) -> list[str]:
    """Return the commands in the project's README, up to the one that creates a task."""
    [lines] = re.findall(r"```sh\n(TOKEN=.*?milk\"}')\n", (project / "README.md").read_text(), re.S)
    return lines.splitlines()


def record(machine: Machine) -> str:
    """Return what the terminals showed, with escape sequences for colors."""
    template = machine.root / "org" / "template"
    for name in ("hooks", "templates", PROJECT.name):
        shutil.copytree(ROOT / name, template / name)
    shutil.copy(ROOT / "cookiecutter.json", template)
    config = machine.root / "config.yaml"
    config.write_text(f'abbreviations: {{gh: "{machine.root}/{{0}}"}}\n')
    tools = machine.root / "bin"
    tools.mkdir()
    (tools / "cookiecutter").symlink_to(Path(sys.executable).with_name("cookiecutter"))
    environment = machine.environment | {
        "COLUMNS": str(COLUMNS),
        "COOKIECUTTER_CONFIG": str(config),
        # Without the template's own uv, since the recording shows that the project installs uv.
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PS1": PROMPT,
        "TERM": "xterm-256color",
    }

    serving = Terminal(SHELL, machine.output, environment)
    serving.wait_for(PROMPT)
    serving.type(SCAFFOLD)
    for number, answer in enumerate(ANSWERS, 1):
        serving.wait_for(f"[{number}/{len(ANSWERS)}]")
        serving.type(answer)
    serving.wait_for(PROMPT)
    serving.type("cd shopping-list && make run")
    serving.wait_for("(Press CTRL+C to quit)", seconds=300)
    served = serving.seen
    trying = Terminal(SHELL, machine.output / "shopping-list", environment)
    for line in ["# another terminal", *first_task(machine.output / "shopping-list")]:
        trying.wait_for("> " if line.startswith(" ") else PROMPT)
        trying.type(line)
    trying.wait_for('"updated_at":"')
    trying.wait_for("}")
    tried = trying.seen.removesuffix(PROMPT)

    trying.type("exit")
    trying.end()
    serving.type("\x03exit")
    serving.end()
    return f"{served}\n{tried}".replace("\r", "")


def picture(shown: str) -> str:
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        for line in Text.from_ansi(shown).split(allow_blank=True):
            for row in line.divide(range(COLUMNS, len(line), COLUMNS)):
                console.print(row)
        # No web font: viewers have a monospace font.
        plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        title = "From the template to a first task"
        return console.export_svg(title=title, theme=MONOKAI, code_format=plain)


def text_of(svg: str) -> str:
    """Return the lines that the picture shows."""
    lines: dict[float, str] = {}
    for y, text in re.findall(r'<text [^>]*? y="([\d.]+)" textLength[^>]*>(.*?)</text>', svg):
        lines[float(y)] = lines.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    return "\n".join(lines[y] for y in sorted(lines))


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        PICTURE.write_text(picture(record(Machine(Path(folder)))))
