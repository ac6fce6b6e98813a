"""Random operations, kills and stopped workers against the real processes, compared with a dictionary.

A run carries out a plan (`plan.py`) of puts, bulk uploads, deletes, reads, searches, feedback, re-embeds
between three models, promotions, rollbacks, kill -9 of every part, and workers stopped in mid-write until
their lease is another's. After each round of steps everything comes to rest (`checks.py`) and must equal
the dictionary (`model.py`): every acknowledged document is read and found with its newest content, also
every acknowledged signal and job; alias, catalog and collections agree; what may serve is verified. At
every moment, also while parts are down, no search shows what was deleted or replaced before it was sent,
and every answer has the passages and scores that the model and the chunking of its index version give
(`oracle.py`). A write whose acknowledgement was lost may have happened or not, until one of both is seen.

    python -m pytest tests/faults/test_lite.py        # 300 steps, 5 kills
    make test-faults STEPS=2000 KILLS=200             # the long run; MILVUS=engine takes PostgreSQL too
    make test-faults STEPS=300 KILLS=5 SEED=43        # the same plan as the test on Lite

A run that finds something prints the seed, the last operations and where the logs are, and exits with 1. The
same STEPS, KILLS, SEED and MILVUS give the same plan; the moments at which processes do what they do differ.
"""
