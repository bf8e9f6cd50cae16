"""Making a host quiet for measurements, and putting everything back: steps, and a journal of what they have changed."""
