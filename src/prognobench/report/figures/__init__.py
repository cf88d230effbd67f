"""The figures, one idea a module; each returns None where its data do not allow it."""
