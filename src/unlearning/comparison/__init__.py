"""From what each model tells alone to the numbers that set it beside the references of its seed."""
