"""Another revision of the template, to measure a change against."""

import subprocess
from pathlib import Path

from tests.rendering import ROOT


def template_at(revision: str, folder: Path) -> Path:
    """Return the template at `revision`, a path or what git can resolve. Creates `folder` for it.

    Raises SystemExit if it is neither.
    """
    if (Path(revision) / "cookiecutter.json").is_file():
        return Path(revision).resolve()
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True)
    if archive.returncode:
        raise SystemExit(
            f"BENCH_BEFORE: {revision} is neither a template's folder nor a revision of this one. "
            f"{archive.stderr.decode().strip()}"
        )
    folder.mkdir()
    subprocess.run(["tar", "--extract"], input=archive.stdout, cwd=folder, check=True)
    return folder
