"""What a hospital's officers allow: site file, policy, credentials, attestation."""
