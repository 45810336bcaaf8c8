"""Print the OpenAPI document of the code as it is, for generating clients."""

import json
import os
import secrets

from app.main import create_app

# The document depends on no setting; only starting does.
os.environ.setdefault("BETTER_AUTH_SECRET", secrets.token_urlsafe(48))
print(json.dumps(create_app().openapi(), indent=2))
