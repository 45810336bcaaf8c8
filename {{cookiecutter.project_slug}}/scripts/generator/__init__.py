"""Code generator behind `make resource` and `make field`.

`templates/` has a resource without fields, and `fields.py` has the lines that each type of field
adds. Adapt both to your needs. Existing files only get new lines, so your own code does not change.
"""

from typing import Any


def run(function: str, *arguments: Any) -> None:
    """Call a function of `resource.py`. On failure, exit with one line and change nothing."""
    from scripts.generator.source import GeneratorError

    try:
        # Imported here, because it imports the models and routers, which may contain errors.
        from scripts.generator import resource
    except Exception as error:
        place = f" ({error.filename})" if isinstance(error, SyntaxError) else ""
        reason = " ".join(f"{type(error).__name__}: {error}{place}".split())
        raise SystemExit(f"Cannot import the project: {reason}. Nothing was changed.") from None
    try:
        getattr(resource, function)(*arguments)
    except GeneratorError as error:
        raise SystemExit(f"{str(error).rstrip('.')}. Nothing was changed.") from None
