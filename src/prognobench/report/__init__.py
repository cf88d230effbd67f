"""The report: reads results, computes no metric of its own."""
