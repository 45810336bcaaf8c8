"""Print the OpenAPI document, for generating clients."""

import json
import os
import secrets

from app.main import create_app

# The app does not start without a secret, but the document does not depend on it.
os.environ.setdefault("BETTER_AUTH_SECRET", secrets.token_urlsafe(48))
print(json.dumps(create_app().openapi(), indent=2))
