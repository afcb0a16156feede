"""Files of detectors and of labeling tools -> boxes and labels of images."""
