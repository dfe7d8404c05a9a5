"""What the verbs about rollouts share: reading a plan, doing one operation, telling where a rollout stands."""
