"""Networks in PyTorch: pure modules, one file a family; nothing is imported until a network is asked for."""
