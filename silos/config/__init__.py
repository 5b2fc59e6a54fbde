"""The settings of a hospital's officers: site file, policy, credentials, attestation."""
