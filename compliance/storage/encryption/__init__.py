"""Released models encrypted for named recipients (age), with a record of who may open and who did.

Rules:

1. An encrypted model is three files named by the model's digest. Header and payload, one after the
   other, are an age file that any age program opens; the record beside them says for whom.
2. The header alone names recipients, so another set of them needs another header and no byte of the
   payload. A header that was copied before opens the payload for ever.
3. The record is a chain of events, the decisions among them signed. It decides who may open with
   this software, and nothing is opened that it cannot write down.
4. Nothing is decrypted before signature, generation, header and payload are checked, and nothing is
   put in its place before the model's digest is.

Source: C2SP, The age file encryption format, version 1 (age-encryption.org/v1).
"""
