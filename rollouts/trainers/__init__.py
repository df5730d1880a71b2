"""What trainers call while they make rollouts of their own, one module a trainer; each needs its extra."""
