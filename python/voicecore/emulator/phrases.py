"""What the emulator's recogniser understands without being told anything: sentences of a voice agent's day.

Chosen to sound different from each other; every word is in pocketsphinx's dictionary.
"""

from __future__ import annotations

PHRASES: tuple[str, ...] = (
    "Your appointment is on Monday at nine.",
    "The quick brown fox jumps over the lazy dog.",
    "Thank you for calling, how can I help you today?",
    "Please hold while I look up your account.",
    "I would like to speak to a human agent.",
    "Your order has been shipped and will arrive tomorrow.",
    "Could you please repeat that more slowly?",
    "What is the weather like in Paris this weekend?",
    "I am sorry, I did not understand you.",
    "The meeting has been moved to Thursday afternoon.",
    "This call may be recorded for quality and training.",
    "Welcome back, your table for two is ready.",
    "Goodbye, and have a wonderful day!",
)

DEMO_SENTENCE = PHRASES[0]
