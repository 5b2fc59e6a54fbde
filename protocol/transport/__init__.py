"""What travels beside a round's messages: requests, enrolment, announcements, privacy summaries."""
