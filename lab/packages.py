"""List the packages that projects install, which no project may be named after.

Usage: python -m lab.packages
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.rendering import ROOT, Machine, RenderedProject

QUESTIONS = ROOT / "cookiecutter.json"
COMPILE = (
    "uv pip compile --quiet --universal --all-extras --group dev --no-annotate --no-header "
    "pyproject.toml"
)


def packages(project: RenderedProject) -> set[str]:
    """Return the packages that a project needs on any platform and supported Python."""
    return set(re.findall(r"(?m)^([a-z0-9-]+)==", project.run(COMPILE)))


def main() -> None:
    with TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        projects = [
            machine.render(project_slug=each, database=each, token_verification="jwks")
            for each in ("sqlite", "postgresql")
        ]
        names = sorted(set().union(*map(packages, projects)))
    text, replaced = re.subn(
        '("_packages": ")[^"]*', rf"\g<1>{' '.join(names)}", QUESTIONS.read_text()
    )
    assert replaced == 1
    QUESTIONS.write_text(text)


if __name__ == "__main__":
    main()
