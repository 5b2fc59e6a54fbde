"""The networks that a study may name: MONAI's own names and arguments, with a range for each.

Rules:

1. A study writes ``network: {_target_: SegResNet, init_filters: 16}``. What is not on this list,
   and no recipe's (``recipe_network``), is refused; nothing is imported by a name that a study
   brings, and no expression is evaluated.
2. Channels, sizes and the number of outputs follow from cohort and task.
3. Nothing that draws random numbers (dropout) can be asked for: a patient's gradient would not
   be the same twice. They are built in ``pipelines.networks``.
"""
