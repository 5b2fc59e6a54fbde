"""The hospital's line to the coordinator: supervisor, client, enrolment."""
