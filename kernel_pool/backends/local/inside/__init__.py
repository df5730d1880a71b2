"""What runs on the kernel's side: the zygote, the way into the namespaces, and PID 1. Standard library only."""
