"""The ways in which a worker can be broken, by name."""

from __future__ import annotations

from enum import Enum, unique


@unique
class Fault(Enum):
    """What goes wrong with a reply. "At the token" is number ``Script.fault_after``.

    What each one does on the wire stands in the tables of ``_payload_faults`` and
    ``_wire_faults``; the tests assert it with a raw socket.
    """

    # The connection.
    REFUSE = "the port refuses connections; asked on an open one, it resets and then refuses"
    RESET_AT_ONCE = "RST as soon as the connection is accepted (on an open one: at the request)"
    CLOSE_BEFORE_HEADERS = "FIN after the request, without a byte: the keep-alive race"
    RESET_BEFORE_HEADERS = "RST after the request, without a byte"
    SILENCE_BEFORE_HEADERS = "nothing after the request, until the client leaves"
    SILENCE_AFTER_HEADERS = "the head, then nothing until the client leaves"
    SILENCE_MID_STREAM = "nothing more from the token on, until the client leaves"
    SLOW_DRIP = "every byte by itself, with Script.delay between two"
    CLOSE_BEFORE_FIRST_TOKEN = "the head, then FIN"  # noqa: S105 - no password
    CLOSE_MID_STREAM = "FIN before the token, in a chunked body that did not end"
    RESET_MID_STREAM = "RST before the token"

    # The framing of HTTP/1.1.
    CHUNK_TOO_BIG = "the token's chunk announces more bytes than come before FIN"
    CHUNK_TOO_SMALL = "the token's chunk announces less bytes than it has"
    CHUNK_GARBAGE = "the token's chunk has a size that is no number"
    CHUNK_TRUNCATED = "FIN inside the token's chunk"
    NO_LAST_CHUNK = "the whole stream, then FIN without the chunk of size 0"
    LENGTH_TOO_BIG = "Content-Length announces more than comes before FIN"
    LENGTH_TOO_SMALL = "Content-Length announces half of what comes"
    LENGTH_GARBAGE = "Content-Length is no number"
    GARBAGE_HEAD = "bytes that are no HTTP, then FIN"
    HUGE_HEADERS = "256 KiB of headers before the reply"
    INFORMATIONAL = "100 Continue and 103 Early Hints before the reply"
    HTTP_1_0 = "an HTTP/1.0 reply without a length, ended by FIN"

    # The status and the kind of the reply.
    REDIRECT = "307 to another place"
    ERROR_JSON = "an error status with llama.cpp's error object"
    ERROR_HTML = "an error status with a proxy's HTML page"
    ERROR_BINARY = "an error status with 256 bytes that are no text"
    ERROR_EMPTY = "an error status with an empty body"
    ERROR_ENDLESS = "an error status with a body that never ends"
    WRONG_CONTENT_TYPE = "the right body as text/html"

    # The event stream.
    ENDLESS_LINE = "at the token begins a line that never ends"
    ENDLESS_COMMENTS = "comments for ever in the token's place: bytes flow, no token comes"
    INVALID_UTF8 = "a byte that is no UTF-8 inside the token's text"
    CRLF = "lines end in CR LF"
    CR = "lines end in CR"
    MULTI_LINE_DATA = "the data of each token is cut into two data lines after its first byte"
    COMMENTS_AND_FIELDS = "comments, event, id and retry fields with each event"
    BOM = "the stream begins with a byte order mark"
    NO_DONE = "no [DONE], only the clean end of the body"
    TWO_TERMINAL_EVENTS = "the final events come twice"
    ERROR_IN_STREAM = "an error object in the token's place, then the clean end"
    BAD_JSON = "the token's JSON (or the body) is cut in half"
    WRONG_SHAPE = "the token (or the body) is valid JSON of another shape"
