<%
    summary = " ".join((message or "").encode(errors="replace").decode().split())
    summary = summary.replace("\\", "/").replace('"', "'")
%>\
"""${summary or "A migration without a name."}"""

import sqlalchemy as sa
from alembic import op
% if imports:
${imports}
% endif

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
