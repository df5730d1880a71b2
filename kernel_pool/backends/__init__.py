"""Back-ends: each makes kernels its own way and is found by name in `kernel_pool.registry`."""
