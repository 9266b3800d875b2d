"""Requests of one process that all hear of after the same step.

A signal or a clock tells one process first, and a step in which some stop and some go on hangs. So
what each asks for travels with the gradients of every step, and all read the same sum after it.
"""

from tfsci.distributed.strategy import REQUESTS


class SharedRequests:
    """A part of a strategy of several processes.

    `ask` and `asked` see variables on the CPU: what this process asks for, and the sum over the
    processes as the last step left it.
    """

    def __init__(self):
        super().__init__()
        self._wishes = self._heard = None

    def ask(self, *requests: str) -> None:
        """Asks all processes for something, to be heard of after the step that comes next."""
        super().ask(*requests)
        if self._wishes is not None:
            self._wishes.assign([float(name in self._asked) for name in REQUESTS])

    def asked(self) -> set[str]:
        """Returns what any process asked for before the last step, alike on every process."""
        if self._heard is None:
            return set()
        heard = self._heard.numpy()
        return {name for name, count in zip(REQUESTS, heard, strict=True) if count}

    def answered(self) -> None:
        """Forgets what all have heard of; every process calls it alike."""
        self._asked -= self.asked()
        self.ask()
        self._heard.assign([0.0] * len(REQUESTS))

    def _make_requests(self) -> None:
        """Makes the variables, outside of any graph."""
        import tensorflow as tf

        if self._wishes is None:
            with tf.device("CPU:0"):
                self._wishes = tf.Variable([0.0] * len(REQUESTS), trainable=False)
                self._heard = tf.Variable([0.0] * len(REQUESTS), trainable=False)
            self.ask()

    def _exchange_requests(self, add) -> None:
        """Exchanges what was asked for, as a part of the training step.

        Args:
            add: Returns a tensor's sum, or average, over the processes.
        """
        self._heard.assign(add(self._wishes.read_value()))
