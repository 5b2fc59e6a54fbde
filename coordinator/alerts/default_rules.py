"""The rules by default, as ``coordinator init`` writes them into ``alert-rules.yaml``."""

DEFAULT_RULES = """\
# When an alert is raised, how severe it is, and who is told (docs/alerts.md).
# The coordinator's service reads this file again at every look. To try a change:
#   collegium alerts rules --home DIR    and    collegium alerts check --home DIR
collegium_alerts: 1

# Receivers of signed messages; a rule names those it tells, e.g. tell: [on-call].
# webhooks:
#   on-call:
#     url: https://alerts.example.org/collegium
#     secret_file: on-call.secret     # whsec_ and base64, readable by its owner alone

rules:
  # Patients' privacy budget for life, as the hospital signed it in its newest run.
  - {name: budget-low, kind: budget, share: 0.8, severity: warning}
  - {name: budget-almost-spent, kind: budget, share: 0.95, severity: critical}

  # The model of a study's newest evaluation, from released figures alone.
  - {name: risks-off, kind: calibration, part: 0.1, severity: warning}
  - {name: unfair, kind: fairness_gap, above: 0.1, severity: warning}
  - {name: fairness-lost, kind: fairness_gap_grown, by: 0.0, severity: warning}
  - {name: drift, kind: drift, severity: warning}

  # Rounds and hospitals.
  - {name: sum-out-of-line, kind: aggregate, rounds: 1, severity: critical}
  - {name: hospital-silent, kind: silent, minutes: 60, severity: warning}
  - {name: hospital-left-out, kind: absent, rounds: 3, severity: warning}

  # What ends. A hospital renews its certificate by itself 2 to 3 days before the end, the
  # service its own 30 days before.
  - {name: hospital-certificate, kind: certificate, of: hospitals, days: 1, severity: critical}
  - {name: own-certificate, kind: certificate, of: coordinator, days: 21, severity: critical}
  - {name: roster-ends, kind: roster, days: 30, severity: warning}

  # Incidents: the 72 hours of GDPR article 33, and containments that nobody confirmed.
  - {name: incident-due, kind: incident, hours: 24, severity: critical}

  # Released models: a canary that was worse, and what hospitals state that they served.
  - {name: canary-ended, kind: canary, severity: warning}
  - {name: served-other, kind: served_other, hours: 24, severity: critical}

  # The records against the signed log.
  - {name: not-verified, kind: verification, hours: 24, severity: critical}
"""
