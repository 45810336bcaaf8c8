"""The template's post-generation hook empties this file: an incomplete project must not run."""

raise SystemExit(
    "This project is incomplete: the template's hooks did not run. Render it again over this "
    "folder, with cookiecutter --overwrite-if-exists --accept-hooks yes"
)
