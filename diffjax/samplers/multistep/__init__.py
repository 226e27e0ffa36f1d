"""Linear multistep methods: one network call a step, and the outputs of the steps before."""
