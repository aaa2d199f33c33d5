"""The verbs of `cog-stack-runner log`: what runs were, whether they still hold, and doing them again."""
