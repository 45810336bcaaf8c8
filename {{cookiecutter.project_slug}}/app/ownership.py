"""The owner of rows, as statements name it."""

from sqlalchemy import String, bindparam

OWNER = bindparam("owner_", type_=String)
"""The id of the user who owns the rows. Its value comes from a verified `User` only."""
