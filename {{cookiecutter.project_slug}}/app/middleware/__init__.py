"""Middleware that wraps every request. It is plain ASGI, so it buffers nothing."""

from app.middleware.authentication import Authentication
from app.middleware.cors import CrossOrigin
from app.middleware.deadline import Deadline
from app.middleware.request_context import RequestContext
from app.middleware.root_path import RootPath

__all__ = ["Authentication", "CrossOrigin", "Deadline", "RequestContext", "RootPath"]
