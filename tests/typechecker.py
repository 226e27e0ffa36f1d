"""The run-time type checker of the tests: `jaxtyping`'s import hook puts it on every function of diffjax."""

import beartype

# an int is fine where a float is asked for, as in PEP 484
check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
