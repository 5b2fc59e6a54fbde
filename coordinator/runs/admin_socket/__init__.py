"""The admin socket: a socket file that only the coordinator's own people can open.

No port, no password: a user who may open ``DIR/control.sock`` may read the folder itself. The
running service does what is asked and answers in JSON. Who asks says so by a signed act, which
``coordinator.governance`` takes or refuses; only a question about how things stand needs none.

Whoever asks (``asking``) needs none of the packages of whoever answers (``answering``).
"""
