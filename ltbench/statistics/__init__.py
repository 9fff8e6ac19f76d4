"""The mathematics of a row: fold accuracy, calibration error, means over seeds, bootstrap, Holm, McNemar. No torch."""
