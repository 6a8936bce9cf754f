"""Sessions: an opened bundle that answers, on the backend that serves best here."""
