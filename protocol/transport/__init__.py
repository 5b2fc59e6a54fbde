"""Records sent beside a round's messages: requests, enrolment, announcements, privacy summaries."""
