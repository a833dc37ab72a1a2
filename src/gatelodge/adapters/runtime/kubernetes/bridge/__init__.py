"""What runs in a pod: the standard library only, since an image may hold nothing else."""
