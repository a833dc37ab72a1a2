"""How an event loop and its writer's thread wake each other: two pipes, of one byte a time."""

import os


class WriterPipes:
    """Two pipes, made together: `wake` reaches the thread, `tell` the loop. Raises OSError."""

    __slots__ = ("tell", "told", "wake", "wake_end")

    def __init__(self) -> None:
        self.wake_end, self.wake = os.pipe()
        try:
            self.told, self.tell = os.pipe()
        except OSError:
            os.close(self.wake_end)
            os.close(self.wake)
            raise

    def close(self) -> None:
        """Release both; the thread has ended by now, and the loop listens no more."""
        for fd in (self.wake_end, self.wake, self.told, self.tell):
            os.close(fd)
