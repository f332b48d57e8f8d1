"""People's front door. Commands import what they run when they run it, so that `--help` stays fast."""
