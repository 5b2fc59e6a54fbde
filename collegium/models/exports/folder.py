"""The files of an exported folder, by what they hold.

::

    FOLDER/
      snapshot.json       the snapshot with its signatures
      roster.json         the hospitals' keys that they are verified with
      study.json          the study, as its digest is taken of
      proof.tlog          that the snapshot is an entry of the log (C2SP tlog-proof)
      model.safetensors   the parameters; their tensor digest is the model's name
      configs/, models/   the MONAI bundle; models/ holds the other forms too
      fidelity.json       how far the outputs of each form are from the model's
      MODEL_CARD.md, mlbom.json
      release.pub         the key that signed the folder
      release-key.tlog    that this key is an entry of the log
      model.sig           the signature of all the others (OpenSSF model signing)
"""

SNAPSHOT, ROSTER, STUDY, PROOF = "snapshot.json", "roster.json", "study.json", "proof.tlog"
WEIGHTS, FIDELITY = "model.safetensors", "fidelity.json"
CARD, BOM = "MODEL_CARD.md", "mlbom.json"
METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"
BUNDLE, PROGRAM = "models/model.pt", "models/model.pt2"
ONNX, INT8 = "models/model.onnx", "models/model-int8.onnx"
