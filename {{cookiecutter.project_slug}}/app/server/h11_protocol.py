"""uvicorn's h11 protocol, with the limits for slow clients. See `app/server/http_protocol.py`."""

import h11
from uvicorn.protocols.http import h11_impl

from app.server.slow_clients import MAX_REST_BYTES, Connection


class H11Protocol(Connection, h11_impl.H11Protocol):
    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self.is_body_missing():
            self.allow_early_response()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()

    def is_body_missing(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY

    def has_part_of_head(self) -> bool:
        return bool(self.conn.trailing_data[0])

    def announces_closing(self) -> bool:
        length = dict(self.headers).get(b"content-length", b"%d" % (MAX_REST_BYTES + 1))
        # After a rejected `Expect`, the next bytes are either the body or another request.
        is_read_soon = (
            int(length) <= MAX_REST_BYTES and not self.conn.they_are_waiting_for_100_continue
        )
        return self.is_body_missing() and not is_read_soon
