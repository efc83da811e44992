"""The course's code. Progress bars and log lines are switched off first: libraries decide about them when they are imported."""

from src.runtime import quiet_libraries

quiet_libraries()
