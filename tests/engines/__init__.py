"""The engines in which pages are tested: Chromium, Firefox and WebKit."""
