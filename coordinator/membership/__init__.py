"""Members of the consortium: invitations, certificates, rosters, the authority."""
