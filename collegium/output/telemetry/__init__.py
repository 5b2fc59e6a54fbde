"""Telemetry for operators: metrics shown on this machine, and traces where they are asked for."""
