"""What can be run: command, llms-txt, coding, loop, and what others plug in."""
