"""The run-time type checker of the tests: `jaxtyping`'s import hook puts it on every function of diffjax."""

import beartype

# an int is fine where a float is asked for (PEP 484); an annotation that cannot be checked is a warning,
# which `test_house` refuses
CONFIG = beartype.BeartypeConf(is_pep484_tower=True, warning_cls_on_decorator_exception=UserWarning)
check = beartype.beartype(conf=CONFIG)
