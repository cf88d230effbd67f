"""Where results may go besides the output folder: experiment trackers, by their own clients."""
