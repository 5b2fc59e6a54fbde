"""The line to the coordinator: supervisor, client, enrolment; in a simulation an actor."""
