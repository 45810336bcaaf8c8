"""Refuse to run an incomplete project. The template's post-generation hook empties this file."""

raise SystemExit(
    "This project is incomplete: the template's hooks did not run. Render it again over this "
    "folder with cookiecutter --overwrite-if-exists --accept-hooks yes"
)
