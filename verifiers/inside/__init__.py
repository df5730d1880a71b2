"""What runs inside the kernel to look at pages: the standard library and Playwright, nothing else of ours."""
