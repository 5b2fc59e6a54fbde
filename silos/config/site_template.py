"""The site file that ``collegium silo init`` writes: safe by default, every key explained."""

_TEMPLATE = """\
# What this hospital allows. It is yours: nobody outside reads it, and it is read
# afresh whenever a study asks to join. As it stands it allows nothing: an empty
# list allows nothing. More in docs/hospital.md; editors read docs/site.schema.json.
collegium_site: 1
name: {name}
{coordinator}
{database}

# Where the records lie; a path is taken from this file's folder.
# data: {{kind: file, path: records.csv}}       # CSV, Excel (.xlsx), Parquet, or an npz of images
# data: {{kind: sql, url_file: db-url, query: cohort.sql}}    # chmod 600 db-url: docs/tables.md
# units: {{temperature: degF}} and dates: {{born: DD.MM.YYYY}} there say where columns differ from
# the study's.
# data: {{kind: omop, folder: cdm}}             # or url_file, url_env: docs/clinical-data.md
# data: {{kind: images, folder: scans, table: labels.csv}}  # NIfTI, DICOM, PNG: docs/images.md
# data: {{kind: fhir, folder: export, complete_until: "2026-06-30"}}

# Patients' consent: a CSV of patient,purpose,consent,until. required: only those who consented to
# a study's purpose enter it. retention_days after a run, silo patients retention deletes the rest.
# patients: {{consent: consent.csv, required: true, retention_days: 90}}

# How many records people here score with released models in a day; more raise an alarm.
# inference: {{records_a_day: 500}}

policy:
  # A study's stated purpose must hold one of these phrases, word for word.
  # It sorts out what is clearly not wanted; what counts is that a person reads
  # the study and approves its digest.
  purposes: []            # for example [heart disease, readmission]
  tasks: []               # for example [binary_classification]
  networks: []            # for example [FullyConnectedNet]  (Classifier, DenseNet121)
  pretrained: []          # SHA-256 of parameters that a study may start from
  # Packages that a study may take code from, each as the wheel that you read: its code runs
  # where your records are. Writing a recipe: docs/extending.md.
  recipes: []             # for example [{{wheel: acme-1.2.0-py3-none-any.whl, sha256: ...}}]
  # Every column that a study may read: its inputs, the label, the patient key
  # and the split column. Of images: images, labels, the patient key, columns beside
  # them and, in a table that names a folder's images, the label's own columns.
  columns: []             # for example [age, sex, chol, num]
  clinical: []            # of OMOP or FHIR records: [age, sex, 201826, "http://loinc.org|8480-6"]
  # How a study may tell training patients from test patients. keyed_hash uses a
  # key that only this hospital has; column and file are chosen by others.
  splits: [keyed_hash]
  sites: 3                # a sum must hold at least so many hospitals' updates
  colluders: 1            # so many others may collude with the coordinator and still not see ours
  patients: 10            # and a study must count on so many patients of ours
  # per_site: this hospital's own noise protects its patients. distributed: the
  # hospitals' noise protects together, as long as few enough of them collude.
  modes: [per_site]
  units: [patient]        # record protects each record alone, and is weaker
  epsilon_at_most: 1.0    # of one study; the patients' budget for life: silo grant
  delta_at_most: 1.0e-5
  # Who may approve a study, and how many of them must.
  approvers: []           # for example [Dr. A. Officer, Prof. B. Medicine]
  approvals_needed: 1
  name_approvers: false   # true: the coordinator learns who approved and when, and keeps it
  # What the other members must show about the machines that hold their keys; left
  # out: nothing. The measurements are those of an image that you built or checked.
  # attestation:
  #   sev_snp:
  #     measurements: []       # launch digests, 96 hexadecimal digits each
  #     least_tcb: {{boot_loader: 4, tee: 0, snp: 24, microcode: 219}}
  # Who else must have cosigned the coordinator's log before a round: a tlog-policy file
  # beside this one; left out: a quorum of the study's hospitals suffices.
  # witnesses: witnesses.policy

resources:
  workers: 1              # processes that compute gradients
  threads: 1              # threads of each
  memory_gib: 4           # a study that needs more sits its rounds out
  gpu: false              # true: one worker computes gradients on the GPU (torch-cuda.lock)
  # gpu_memory_gib: 8     # how much of its memory; memory_gib then limits nothing: docs/hospital.md
  # A Ray cluster of this hospital's own: workers are then on its nodes, each with one GPU where
  # gpu is true. Who administers it can read the records in its memory: docs/hospital.md.
  # ray_address: ray-head.hospital.example:6379
  # ray_token_file: ray-token    # chmod 600
  must_be_confined: false # true: train only where the kernel keeps it from files and network
  # When a study may begin to train; left out: at any time.
  # hours: 20:00-06:00
  # time_zone: Europe/Berlin

# Who can open the backups that silo backup writes: age recipients, or OpenSSH public keys.
# Name different people: a person with both can act as this hospital.
backup:
  ledger: []              # for example [age1...]
  keys: []
"""


def site_template(name: str, coordinator: str | None = None, database: str | None = None) -> str:
    """Returns the text of a new hospital's site file."""
    line = (
        f"coordinator: {coordinator}"
        if coordinator
        else "# coordinator: https://collegium.example.org:8443    # comes with the invitation"
    )
    place = (
        f"database: {database}"
        if database
        else "# database: postgresql:///hospital    # left out: hospital.db beside this file"
    )
    return _TEMPLATE.format(name=name, coordinator=line, database=place)
