"""Tasks: what a network learns, one file a task, as pure functions of outputs and labels."""
