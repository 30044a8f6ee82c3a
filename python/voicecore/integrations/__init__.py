"""voicecore inside other people's frameworks. Each module needs its framework; none is imported from elsewhere."""
