"""A finished run as one self-contained HTML file, and each of its pictures alone."""
