"""The pure rules: no operating system, no shared memory."""
