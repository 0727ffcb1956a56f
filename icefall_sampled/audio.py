"""The audio and the features that all models are trained on, as numbers."""

SAMPLING_RATE = 16_000
"""Samples of audio a second."""
FRAMES_PER_SECOND = 100
"""Frames of features a second."""
FRAME_SECONDS = 1 / FRAMES_PER_SECOND
"""From one frame to the next."""
FRAME_SAMPLES = SAMPLING_RATE // FRAMES_PER_SECOND
"""From one frame to the next."""
WINDOW_SECONDS = 0.025
"""Of audio in a frame, centred on its own 10 ms."""
NUM_MEL_BINS = 80
"""Numbers in a frame: a log-mel filterbank."""
