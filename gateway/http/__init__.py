"""The HTTP face of the gateway: bytes in, one call inwards, bytes out.

Words. *route*: one method at one path, declared in a table with everything that both the server and the
OpenAPI document need; there is no second list that could drift. *exchange*: one request as a handler sees it.
*reply*: ready bytes. *problem*: any refusal, rendered as RFC 9457 from the table PROBLEMS.

Laws. A handler decides nothing that dispatch, switchover or compare should decide: it reads headers and body,
makes one call, and writes headers and body. Every answer that is not a success is problem+json, whoever
raised it, the framework included, and says nothing of our insides. A route names its scope or it does not
start. Whatever a request carries that no parameter declares is refused, not ignored. Bodies are bytes from
the socket to the canonical decoder and from the encoder to the socket: the framework routes, and validates
nothing.

Refused: bodies over the limit (counted while they arrive, so a chunked body cannot lie), content codings,
media types other than JSON, headers sent twice where one is meant.
"""
