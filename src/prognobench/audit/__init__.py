"""What is in a cohort and what is wrong with it: leaks, shortcuts, gaps."""
