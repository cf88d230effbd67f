"""From a benchmark to one model: which candidate, trained on whom, written how."""
