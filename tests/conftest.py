"""For all tests."""

import signal


# Whoever runs the tests in the background of a shell has SIGINT ignored, and so would every
# process that a test starts to press Ctrl-C on: an ignored signal stays so across exec.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
