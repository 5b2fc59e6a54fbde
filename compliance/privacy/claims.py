"""The sentences of the privacy claim that depend on the mode, each written once.

Terminal, page and report take them from here, so that none can say of shared
noise what is true of each hospital's own noise only.
"""

#: What a patient is in a run, and who says so; the keys stand in what hospitals sign.
PATIENTS = {
    "stated number": "the person behind the hospital's own patient number, which the hospital "
    "states is the same for life",
    "key": "whoever shares one value of the column that the study calls the patient key",
    "stated row": "one row: the hospital states that one row is one person",
    "assumed row": "one row: in this simulation nobody has stated that one row is one person",
    "record": "not looked at: each record counts on its own",
}

#: What the claim for training patients rests on where every hospital's own noise suffices.
OWN_NOISE = (
    "Every hospital adds its full noise before anything leaves it (mode per_site), so the claim "
    "holds against the coordinator, the other hospitals and the public together. It needs no "
    "cryptographic assumption."
)


def correlated_noise(bands: int) -> str:
    """Returns how noise of several bands is made and priced; nothing of independent noise.

    >>> correlated_noise(1)
    ''
    >>> correlated_noise(8).partition(" (")[0]
    ' The noise of training is correlated in cycles of 8 steps'
    """
    if bands == 1:
        return ""
    return (
        f" The noise of training is correlated in cycles of {bands} steps (banded matrix "
        f"mechanism, {bands} bands): a patient is in one step of a cycle at most, and a cycle is "
        "priced as one release."
    )


def shared_noise(colluders: int) -> str:
    """Returns what the claim for training patients rests on where noise is shared."""
    return (
        "The hospitals' noise protects together (mode distributed): each adds a share, and only "
        "their sum has enough. So the claim rests on the secure sum and on its cryptography, and "
        f"holds {while_few_collude(colluders)}. What a hospital's own share still gives "
        f"{if_more_collude(colluders)} stands in a column of its own."
    )


def whose_patients(patient: str) -> str:
    """Returns what a patient is, of a word that a hospital signed.

    >>> whose_patients("record")
    'not looked at: each record counts on its own'
    >>> whose_patients("whatever")
    'not said in a known way'
    """
    return PATIENTS.get(patient, "not said in a known way")


def while_few_collude(colluders: int) -> str:
    """Returns when a promise that rests on the secure sum holds.

    >>> while_few_collude(2)
    'while at most 2 of the hospitals collude with the coordinator'
    >>> while_few_collude(0)
    'while no hospital colludes with the coordinator'
    """
    if colluders == 0:
        return "while no hospital colludes with the coordinator"
    return f"while at most {colluders} of the hospitals collude with the coordinator"


def if_more_collude(colluders: int) -> str:
    """Returns the opposite of ``while_few_collude``, to follow it.

    >>> if_more_collude(2), if_more_collude(0)
    ('if more do', 'if any does')
    """
    return "if any does" if colluders == 0 else "if more do"
