"""Who started this process, and how its replicas work together.

The only package that imports Horovod or ``tf.distribute``.
"""
