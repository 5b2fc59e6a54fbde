"""The sentences of the privacy claim that depend on the mode, each written once.

Terminal, page and report take them from here, so that none can say of shared
noise what is true of each hospital's own noise only.
"""


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
