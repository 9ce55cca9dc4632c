"""What proposes configurations, and what prunes trainings that cannot win.

Start with the table in :mod:`hpo.samplers.table`: a sampler is a row of it. :mod:`hpo.samplers.ask_tell` asks and
tells every one of them in the same way.
"""

from hpo.process.lazy import leading_to

__getattr__ = leading_to(__name__, {"Sampler": "hpo.samplers.table"})  # pickles ask for it here
