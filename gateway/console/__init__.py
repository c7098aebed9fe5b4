"""The web console: where people see how far each slice is, move it with a reason, and look at what differs.

Pages are made on the server and escaped throughout; htmx swaps fragments, a few hundred lines of own script
open the dialog and move the focus. Every page works without script, except that it then does not refresh
itself. All files are vendored and served from here, so the policy allows no other host, no inline script and
no inline style.

Words. *person*: who sends a request, by the API key that signed in. *panel*: the dialog of one slice.
*finding*: one kept difference. A picture of a stage has legacy on the left and cloud on the right: a filled
node is the authority, a ring the mirror, a ring with a dot a mirror whose reads are compared.

Laws. A page reads through the same functions as the API. The stage table and the stages on offer are printed
from PLANS and TRANSITIONS. A form is taken only from our own origin, with the token of its session. Colour
never says anything alone. A refusal shows what to do next, and nothing that was typed is lost.
"""

from gateway.console.docs import docs_router
from gateway.console.router import console_router

__all__ = ["console_router", "docs_router"]
