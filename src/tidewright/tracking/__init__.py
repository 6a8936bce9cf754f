"""What happened, kept: every run and trial as a local record and in MLflow."""
