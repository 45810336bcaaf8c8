"""Write the files of a resource, and add fields to them: `make resource` and `make field`.

`templates/` holds a resource without fields, and `fields.py` what a field of each type adds to it.
Both are yours to change. Existing files are edited by inserting lines, so your own code in them
stays as it is.
"""

from typing import Any


def run(function: str, *arguments: Any) -> None:
    """Call a function of `resource.py`. Ends with one line if that changes nothing."""
    from scripts.generator.source import Refused

    try:
        # Imported here: it imports the models and routers, which may have an error.
        from scripts.generator import resource
    except Exception as error:
        place = f" ({error.filename})" if isinstance(error, SyntaxError) else ""
        reason = " ".join(f"{type(error).__name__}: {error}{place}".split())
        raise SystemExit(f"The project has an error: {reason}. Nothing was changed.") from None
    try:
        getattr(resource, function)(*arguments)
    except Refused as error:
        raise SystemExit(f"{error} Nothing was changed.") from None
