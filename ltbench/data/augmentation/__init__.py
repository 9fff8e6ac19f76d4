"""From stored images to what a network sees: cuts, flips, colour, policies, with draws that no device changes."""
