"""What everything else stands on: files, sealed content, text of others, threads. It knows nothing of images or methods."""
